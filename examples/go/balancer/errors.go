package balancer

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"math/rand"
	"net"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What a call failed for; errors.Is(err, ErrFull) says so whatever the driver.
var (
	ErrUnknownRoom   = errors.New("the room is not among the attached rooms")       // P0002
	ErrUnknownServer = errors.New("the server is not in the pool")                  // 42704
	ErrNoServer      = errors.New("no server takes new rooms")                      // 53000
	ErrFull          = errors.New("all servers are full")                           // 53400, with overflow = error
	ErrTimeout       = errors.New("the call waited longer than assign_timeout")     // 55P03
	ErrReadOnly      = errors.New("this needs the primary, or a read-write caller") // 25006
	ErrInvalid       = errors.New("an argument is not valid")                       // 22004, 22023, 22021, 22P05
	ErrSource        = errors.New("an attached relation or the pool is not usable") // 55000
)

var kinds = map[string]error{
	"P0002": ErrUnknownRoom, "42704": ErrUnknownServer, "53000": ErrNoServer, "53400": ErrFull, "55P03": ErrTimeout,
	"25006": ErrReadOnly, "22004": ErrInvalid, "22023": ErrInvalid, "55000": ErrSource,
	"22021": ErrInvalid, "22P05": ErrInvalid, // a zero byte, and what the database's encoding has not
}

// Error is what every method returns: the driver's error, with what it means.
type Error struct {
	Kind  error  // one of the above, the context's error if that has ended, or nil
	Code  string // the SQLSTATE; "" if the server did not answer
	Hint  string // what to do, if the server says so
	Cause error  // the driver's

	mayBeDone bool // the connection was lost, and the call must not be made twice
}

func (e *Error) Error() string {
	text := e.Cause.Error()
	if e.Kind != nil && e.Code == "" && !errors.Is(e.Cause, e.Kind) {
		text = e.Kind.Error() + ": " + text
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Unwrap gives errors.As the driver's error.
func (e *Error) Unwrap() error { return e.Cause }

// Is compares with the kind of the error.
func (e *Error) Is(target error) bool { return e.Kind != nil && target == e.Kind }

// Temporary says whether the same call, or the transaction it was in, may succeed if it is made again: deadlocks,
// serialization failures, waits that were too long, and connections that could not be made or were lost. A Release or
// Evacuate outside of a transaction whose connection was lost is not temporary: it may have been carried out.
func Temporary(err error) bool {
	var known *Error
	if err == nil || (errors.As(err, &known) && known.mayBeDone) {
		return false
	}
	return passes(err) || notSent(err) || connectionLost(err)
}

// Wrap returns the error of a statement of the caller's own as an *Error, such as that of the COMMIT of a transaction
// with ForTx.
func Wrap(ctx context.Context, cause error) error {
	var already *Error
	if cause == nil || errors.As(cause, &already) {
		return cause
	}
	e := &Error{Code: code(cause), Hint: field(cause, "Hint"), Cause: cause}
	if !refused(cause) {
		e.Kind = kinds[e.Code]
	}
	if ctx.Err() != nil && (e.Code == "" || e.Code == "57014") {
		e.Kind = ctx.Err()
	}
	return e
}

// code returns the SQLSTATE; the errors of lib/pq and of pgx have this method.
func code(err error) string {
	var failure interface{ SQLState() string }
	if errors.As(err, &failure) {
		return failure.SQLState()
	}
	return ""
}

// field returns a field of the server's answer (Hint, Severity), which the errors of lib/pq and of pgx have by that name.
func field(err error, name string) string {
	var failure interface{ SQLState() string }
	if !errors.As(err, &failure) {
		return ""
	}
	value := reflect.Indirect(reflect.ValueOf(failure))
	if value.Kind() != reflect.Struct {
		return ""
	}
	if found := value.FieldByName(name); found.IsValid() && found.Kind() == reflect.String {
		return found.String()
	}
	return ""
}

// passes: nothing was done, and the reason may be gone a moment later.
func passes(err error) bool {
	switch code(err) {
	case "40001", "40P01", "55P03":
		return true
	}
	return false
}

// refused: the server did not take the connection: it starts or shuts down (57P03), has too many connections (53300), or
// its database takes none (55000, which in a call has another meaning).
func refused(err error) bool {
	switch code(err) {
	case "57P03", "53300":
		return true
	case "55000":
		return field(err, "Severity") == "FATAL"
	}
	return false
}

// notSent: no connection was made, so the call cannot have been carried out.
func notSent(err error) bool {
	var dial *net.OpError
	var safe interface{ SafeToRetry() bool } // an error of pgx
	switch {
	case refused(err):
		return true
	case errors.As(err, &safe) && safe.SafeToRetry():
		return true
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return false
	}
	return errors.As(err, &dial) && dial.Op == "dial"
}

// unsent is an error before the call was sent.
type unsent struct{ error }

func (e *unsent) Unwrap() error     { return e.error }
func (e *unsent) SafeToRetry() bool { return connectionLost(e.error) }

// connectionLost: the call may or may not have been carried out.
func connectionLost(err error) bool {
	var network net.Error
	switch state := code(err); {
	case state == "57P01" || state == "57P02": // the session was ended, the server shut down
		return true
	case state == "08P01": // of PostgreSQL a mistake of the driver, of pgbouncer, as FATAL, the loss of its own connection,
		// or a parameter that it will not take the next time, either
		return field(err, "Severity") == "FATAL" && !strings.HasPrefix(field(err, "Message"), "unsupported startup parameter")
	case state != "":
		return strings.HasPrefix(state, "08")
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return true
	// What lib/pq makes of two messages in a row, which pgbouncer sends when the server ends a session.
	case strings.Contains(err.Error(), "pq: unexpected message"):
		return true
	}
	return errors.As(err, &network)
}

// Before Go 1.20 the random numbers of the package are the same in every process.
var random = struct {
	sync.Mutex
	*rand.Rand
}{Rand: rand.New(rand.NewSource(time.Now().UnixNano()))}

// wait waits for a random time of at most so long; false: the context has ended.
func wait(ctx context.Context, longest time.Duration) bool {
	var pause time.Duration
	if longest > 0 {
		random.Lock()
		pause = time.Duration(random.Int63n(int64(longest))) + 1
		random.Unlock()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
