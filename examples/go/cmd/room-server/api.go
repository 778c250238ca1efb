package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"example.org/gxy_balancer/balancer"
	"example.org/gxy_balancer/internal/database"
)

// api answers the requests.
type api struct {
	db       *sql.DB
	balancer *balancer.Client
	regions  map[string]string // by country, in capitals
	patience time.Duration
}

// failure is an error that has an answer of its own.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

// roomID is text, or a number as old clients send it: 2171 and "2171" are the same room.
type roomID string

func (r *roomID) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*r = roomID(text)
		return nil
	}
	var number int64
	if err := json.Unmarshal(data, &number); err != nil {
		return errors.New("a room is text or a whole number")
	}
	*r = roomID(data)
	return nil
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), a.patience)
	defer cancel()
	r = r.WithContext(ctx)
	var answer interface{}
	var err error
	user := strings.TrimPrefix(r.URL.Path, "/users/")
	switch isUser := user != r.URL.Path && user != "" && !strings.Contains(user, "/"); {
	case r.URL.Path == "/v2/room_server":
		answer, err = only(r, http.MethodPost, a.roomServer)
	case isUser && r.Method == http.MethodDelete:
		answer, err = a.leave(r.Context(), user)
	case isUser:
		answer, err = only(r, http.MethodPut, func(r *http.Request) (interface{}, error) { return a.keepAlive(r, user) })
	case r.URL.Path == "/health_check" || r.URL.Path == "/health":
		answer, err = only(r, http.MethodGet, a.health)
	default:
		err = &failure{http.StatusNotFound, "no such page"}
	}
	status := http.StatusOK
	if err != nil {
		status = a.statusOf(err)
		if status >= 500 && r.Context().Err() != context.Canceled {
			log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		answer = map[string]string{"error": textOf(err, status)}
	}
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

func only(r *http.Request, method string, handle func(*http.Request) (interface{}, error)) (interface{}, error) {
	if r.Method != method {
		return nil, &failure{http.StatusMethodNotAllowed, r.URL.Path + " takes " + method}
	}
	return handle(r)
}

// statusOf returns the status of an error: 503 where the client may try again.
func (a *api) statusOf(err error) int {
	var own *failure
	switch {
	case errors.As(err, &own):
		return own.status
	case errors.Is(err, balancer.ErrUnknownRoom):
		return http.StatusNotFound
	case errors.Is(err, balancer.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, balancer.ErrReadOnly):
		// The primary has become a standby. The next request finds the new one, if it is known.
		database.Reconnect(a.db, connections)
		return http.StatusServiceUnavailable
	case errors.Is(err, balancer.ErrNoServer), errors.Is(err, balancer.ErrFull), balancer.Temporary(err),
		errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// textOf returns what the client is told: what is wrong on this side is for the log.
func textOf(err error, status int) string {
	var own *failure
	var known *balancer.Error
	switch {
	case errors.As(err, &own):
		return own.text
	case errors.Is(err, balancer.ErrInvalid) && errors.As(err, &known):
		return known.Cause.Error()
	case errors.As(err, &known) && known.Kind != nil:
		return known.Kind.Error()
	case status == http.StatusServiceUnavailable:
		return "the database does not answer"
	}
	return "internal error"
}

func decode(r *http.Request, request interface{}) error {
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(request)
	if err != nil {
		return &failure{http.StatusBadRequest, "the body is not valid: " + err.Error()}
	}
	return nil
}

// roomServer answers which server the room is on, and assigns one if it is on none.
func (a *api) roomServer(r *http.Request) (interface{}, error) {
	var request struct {
		Room roomID
		Geo  struct {
			CountryCode string `json:"country_code"`
		}
	}
	if err := decode(r, &request); err != nil {
		return nil, err
	}
	// A country without a region, or none, leaves the choice to the rooms that are attached.
	var options []balancer.Option
	if region := a.regions[strings.ToUpper(request.Geo.CountryCode)]; region != "" {
		options = append(options, balancer.Region(region))
	}
	server, err := a.balancer.Assign(r.Context(), string(request.Room), options...)
	return map[string]string{"janus": server}, err
}

// session is what a client reports of its connection: to which server, and in which room.
type session struct {
	Room           roomID
	Janus          string
	Session        int64
	Handle         int64
	RFID           string
	TextroomHandle int64 `json:"textroom_handle"`
	Display        string
	Camera         bool
	Question       bool
	System         string
}

// find returns the id that a query gives for a name, or a failure with the status if there is none.
func find(ctx context.Context, tx *sql.Tx, status int, what, query, name string) (id int64, err error) {
	err = tx.QueryRowContext(ctx, query, name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = &failure{status, "unknown " + what + " " + name}
	}
	return id, err
}

const renew = `UPDATE sessions SET room_id = $4, gateway_handle = $5, gateway_feed = $6, gateway_handle_textroom = $7,
		display = $8, camera = $9, question = $10, user_agent = $11, updated_at = now()
	WHERE user_id = $1 AND gateway_id = $2 AND gateway_session = $3 AND removed_at IS NULL`

const enter = `INSERT INTO sessions (user_id, gateway_id, gateway_session, room_id, gateway_handle, gateway_feed,
		gateway_handle_textroom, display, camera, question, user_agent, updated_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())`

// A user who connects to another server has left the one before.
const left = `UPDATE sessions SET removed_at = now() WHERE user_id = $1 AND gateway_id <> $2 AND removed_at IS NULL`

// keepAlive notes that a session is alive. A client sends it every 30 seconds or so, well within dead_session_timeout, and
// at once when it joins. The answer says where the room is now: if that is not the server of the session, the client asks
// for the room's server again, and joins there.
func (a *api) keepAlive(r *http.Request, user string) (interface{}, error) {
	var s session
	if err := decode(r, &s); err != nil {
		return nil, err
	}
	if err := inTransaction(r.Context(), a.db, func(tx *sql.Tx) error { return note(r.Context(), tx, user, &s) }); err != nil {
		return nil, err
	}
	server, err := a.balancer.RoomServer(r.Context(), string(s.Room))
	if err != nil || server == "" {
		// The session is noted, and its room is where it was, as far as is known here.
		server = s.Janus
	}
	return map[string]string{"result": "success", "janus": server}, nil
}

func note(ctx context.Context, tx *sql.Tx, user string, s *session) error {
	userID, err := find(ctx, tx, http.StatusNotFound, "user",
		"SELECT id FROM users WHERE accounts_id = $1 AND NOT disabled AND removed_at IS NULL", user)
	if err != nil {
		return err
	}
	gateway, err := find(ctx, tx, http.StatusBadRequest, "server",
		"SELECT id FROM gateways WHERE name = $1 AND NOT disabled AND removed_at IS NULL", s.Janus)
	if err != nil {
		return err
	}
	_, err = find(ctx, tx, http.StatusBadRequest, "room",
		"SELECT id FROM rooms WHERE gateway_uid = $1 AND NOT disabled AND removed_at IS NULL", string(s.Room))
	if err != nil {
		return err
	}
	arguments := []interface{}{userID, gateway, s.Session, string(s.Room), s.Handle, s.RFID, s.TextroomHandle,
		s.Display, s.Camera, s.Question, s.System}
	renewed, err := tx.ExecContext(ctx, renew, arguments...)
	if err != nil {
		return err
	}
	if rows, err := renewed.RowsAffected(); err != nil || rows > 0 {
		return err
	}
	if _, err := tx.ExecContext(ctx, left, userID, gateway); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, enter, arguments...)
	return err
}

// leave ends the sessions of a user.
func (a *api) leave(ctx context.Context, user string) (interface{}, error) {
	_, err := a.db.ExecContext(ctx, `UPDATE sessions SET removed_at = now()
		WHERE user_id = (SELECT id FROM users WHERE accounts_id = $1) AND removed_at IS NULL`, user)
	return map[string]string{"result": "success"}, balancer.Wrap(ctx, err)
}

// inTransaction repeats the transaction while what it fails for is temporary.
func inTransaction(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	for attempt := 1; ; attempt++ {
		tx, err := db.BeginTx(ctx, nil)
		if err == nil {
			if err = do(tx); err == nil {
				err = tx.Commit()
			}
			tx.Rollback() // does nothing after a commit
		}
		if err == nil || attempt == 3 || ctx.Err() != nil || !balancer.Temporary(err) {
			return balancer.Wrap(ctx, err)
		}
	}
}

// health answers whether the database does.
func (a *api) health(r *http.Request) (interface{}, error) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	err := a.db.PingContext(ctx)
	// Idle connections may have been lost while the database answers; each that fails leaves the pool.
	for i := 0; i < connections && errors.Is(err, driver.ErrBadConn); i++ {
		err = a.db.PingContext(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", &failure{http.StatusServiceUnavailable, "the database does not answer"}, err)
	}
	return map[string]string{"result": "success"}, nil
}
