package gxybalancer

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/gxy_balancer/balancer"
)

// opened is a client, and how to make one in a transaction of the caller.
type opened struct {
	client *balancer.Client
	inTx   func(t *testing.T) (tx *balancer.Client, rollback func())
}

func openSQL(t *testing.T, connection string) opened {
	t.Helper()
	db, err := sql.Open("postgres", connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return opened{balancer.ForDB(db), func(t *testing.T) (*balancer.Client, func()) {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		return balancer.ForTx(tx), func() { tx.Rollback() }
	}}
}

func openPgx(t *testing.T, connection string) opened {
	t.Helper()
	pool, err := newPool(context.Background(), connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return opened{balancer.ForPgx[pgxRow](pool), func(t *testing.T) (*balancer.Client, func()) {
		tx, err := pool.Begin(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return balancer.ForPgxTx[pgxRow](tx), func() { tx.Rollback(context.Background()) }
	}}
}

// The ways to connect in which every call works, with the connection string of each.
var ways = []struct {
	name   string
	pooled bool
	pgx    bool
	mode   string
}{
	{"lib pq", false, false, ""},
	{"lib pq, binary", false, false, "binary_parameters=yes"},
	{"lib pq, pgbouncer", true, false, "binary_parameters=yes"},
	{"pgx", false, true, ""},
	{"pgx, exec", false, true, pgxPooled},
	{"pgx, pgbouncer", true, true, pgxPooled},
}

// eachWay runs a test in each of the ways.
func eachWay(t *testing.T, test func(t *testing.T, o opened)) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			connection := "dbname=" + database + " " + way.mode
			if way.pooled {
				connection = throughPooler(t, way.mode)
			}
			if way.pgx {
				test(t, openPgx(t, connection))
			} else {
				test(t, openSQL(t, connection))
			}
		})
	}
}

// expectKind fails unless an error is of a kind, nil for none.
func expectKind(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v, not %v", what, err, kind)
	}
}

// TestClient: every method, with its options, does what its function does.
func TestClient(t *testing.T) {
	ctx := context.Background()
	eachWay(t, func(t *testing.T, o opened) {
		db := open(t, "")
		c := o.client
		// A measured load counts for 30 s, also without its row.
		defer mustRun(t, db, `UPDATE balancer_servers SET regions = NULL, state = 'online'; SELECT server_heartbeat('gxy3', NULL, 0); DELETE FROM balancer_health;
			TRUNCATE room_server_assignments`)
		mustRun(t, db, "UPDATE balancer_servers SET regions = '{IL}' WHERE name = 'gxy3'")
		check := func(what string, err error, got, want interface{}) {
			t.Helper()
			if err != nil || got != want {
				t.Errorf("%s: %v, not %v (%v)", what, got, want, err)
			}
		}
		server, err := c.RoomServer(ctx, "1")
		check("no server", err, server, "")
		known, err := c.Touch(ctx, "1")
		check("nothing to touch", err, known, false)
		server, err = c.Assign(ctx, "1", balancer.Region("IL"), balancer.ExpectedUsers(30))
		check("a new room", err, server, "gxy3")
		server, err = c.Assign(ctx, "1", balancer.ExpectedUsers(0))
		check("the same room", err, server, "gxy3")
		server, err = c.RoomServer(ctx, "1")
		check("its server", err, server, "gxy3")
		known, err = c.Touch(ctx, "1", balancer.Users(14))
		check("a touch", err, known, true)
		waitUntil(t, db, "SELECT expected_users = 30 AND reported_users = 14 FROM room_server_assignments")

		changed, err := c.Heartbeat(ctx, "gxy3", true, balancer.Load(0.42))
		check("a first heartbeat", err, changed, false)
		waitUntil(t, db, "SELECT healthy AND load = 0.42::real FROM balancer_health WHERE server = 'gxy3'")
		changed, err = c.Heartbeat(ctx, "gxy4", false)
		check("bad news", err, changed, true)
		state, err := c.ServerState(ctx, "gxy4")
		check("the state of an unhealthy server", err, state, balancer.Offline)
		state, err = c.SetServerState(ctx, "gxy2", balancer.Draining)
		check("draining", err, state, balancer.Draining)

		moved, err := c.Evacuate(ctx, "gxy3", balancer.To("gxy1"), balancer.AtMost(5))
		check("an evacuation", err, moved, int64(1))
		server, err = c.RoomServer(ctx, "1")
		check("where to", err, server, "gxy1")
		state, err = c.ServerState(ctx, "gxy3")
		check("its state", err, state, balancer.Online)
		_, err = c.Evacuate(ctx, "gxy3")
		check("all of it", err, nil, nil)
		state, err = c.ServerState(ctx, "gxy3")
		check("its state then", err, state, balancer.Draining)
		released, err := c.Release(ctx, "1")
		check("a release", err, released, true)
		released, err = c.Release(ctx, "1")
		check("another release", err, released, false)
	})
}

// TestClientInTx: a client in a transaction is part of it.
func TestClientInTx(t *testing.T) {
	eachWay(t, func(t *testing.T, o opened) {
		db := open(t, "")
		tx, rollback := o.inTx(t)
		if server, err := tx.Assign(context.Background(), "1"); err != nil || server == "" {
			t.Errorf("%q: %v", server, err)
		}
		rollback()
		if rooms := count(t, db); rooms != 0 {
			t.Errorf("%d rooms are left", rooms)
		}
	})
}

// TestClientErrors: what each SQLSTATE becomes, with the server's hint and the driver's error.
func TestClientErrors(t *testing.T) {
	ctx := context.Background()
	assign := func(c *balancer.Client) error { _, err := c.Assign(ctx, "1"); return err }
	cases := []struct {
		name, setup, undo string
		call              func(c *balancer.Client) error
		kind              error
		code              string
	}{
		{"empty", "", "", func(c *balancer.Client) error { _, err := c.Assign(ctx, ""); return err }, balancer.ErrInvalid, "22023"},
		{"users", "", "", func(c *balancer.Client) error {
			_, err := c.Assign(ctx, "1", balancer.ExpectedUsers(-1))
			return err
		}, balancer.ErrInvalid, "22023"},
		{"unknown server", "", "", func(c *balancer.Client) error { _, err := c.ServerState(ctx, "gxy99"); return err },
			balancer.ErrUnknownServer, "42704"},
		{"no server", "UPDATE balancer_servers SET pool = 'reserved'", "UPDATE balancer_servers SET pool = DEFAULT", assign,
			balancer.ErrNoServer, "53000"},
		{"full", "UPDATE balancer_servers SET capacity = 1; ALTER DATABASE %s SET gxy_balancer.overflow = error; " +
			"SELECT get_or_assign_server(i) FROM generate_series(11, 14) i",
			"UPDATE balancer_servers SET capacity = NULL; ALTER DATABASE %s RESET gxy_balancer.overflow", assign,
			balancer.ErrFull, "53400"},
		{"unknown room", "CREATE TABLE app_rooms (room_id int); SELECT attach_rooms('app_rooms')",
			"SELECT attach_rooms(NULL); DROP TABLE app_rooms", assign, balancer.ErrUnknownRoom, "P0002"},
		{"source", "CREATE TABLE app_sessions (room_id int, user_id int); SELECT attach_sessions('app_sessions'); DROP TABLE app_sessions",
			"SELECT attach_sessions(NULL)", assign, balancer.ErrSource, "55000"},
		{"read only", "ALTER DATABASE %s SET default_transaction_read_only = on",
			"SET default_transaction_read_only = off; ALTER DATABASE %s RESET default_transaction_read_only", assign,
			balancer.ErrReadOnly, "25006"},
	}
	for _, way := range []func(*testing.T, string) opened{openSQL, openPgx} {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				db := open(t, "")
				db.SetMaxOpenConns(1)
				of := func(statements string) string { return strings.ReplaceAll(statements, "%s", database) }
				mustRun(t, db, of(c.setup))
				defer mustRun(t, db, of(c.undo))
				o := way(t, "dbname="+database)
				err := c.call(o.client)
				expectKind(t, c.name, err, c.kind)
				var own *balancer.Error
				if !errors.As(err, &own) || own.Code != c.code || sqlState(own.Cause) != c.code {
					t.Errorf("not %s: %#v", c.code, err)
				} else if own.Hint == "" || !strings.Contains(err.Error(), own.Hint) {
					t.Errorf("no hint in %v", err)
				}
				for _, kind := range []error{balancer.ErrTimeout, context.Canceled} {
					if errors.Is(err, kind) {
						t.Errorf("%v is %v", err, kind)
					}
				}
			})
		}
	}
}

// scripted answers calls with errors, and after these with a value.
type scripted struct {
	errors []error
	calls  int
}

type scriptedRow struct{ err error }

func (r scriptedRow) Scan(dest ...interface{}) error {
	if server, ok := dest[0].(*string); ok && r.err == nil {
		*server = "gxy1"
	}
	return r.err
}

func (s *scripted) QueryRow(context.Context, string, ...interface{}) scriptedRow {
	s.calls++
	if s.calls <= len(s.errors) {
		return scriptedRow{s.errors[s.calls-1]}
	}
	return scriptedRow{}
}

type stateError string

func (e stateError) Error() string    { return "error " + string(e) }
func (e stateError) SQLState() string { return string(e) }

// fatalError is like those of the drivers.
type fatalError struct{ Severity, Code, Message string }

func (e *fatalError) Error() string    { return e.Severity + " " + e.Code }
func (e *fatalError) SQLState() string { return e.Code }

// TestClientRepeats: which errors are repeated, for calls that may be made twice and for others.
func TestClientRepeats(t *testing.T) {
	ctx := context.Background()
	fast := balancer.Retry{Attempts: 3, Pause: time.Microsecond, MaxPause: time.Microsecond}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, c := range []struct {
		err             error
		twice, anything bool // whether calls that may be made twice are repeated, and whether all are
	}{
		{stateError("40001"), true, true},
		{stateError("40P01"), true, true},
		{stateError("55P03"), true, true},
		{stateError("57P03"), true, true},
		{stateError("53300"), true, true},
		{&fatalError{"FATAL", "55000", ""}, true, true},
		{&fatalError{"ERROR", "55000", ""}, false, false},
		{refused, true, true},
		{fmt.Errorf("no primary: %w", refused), true, true},
		{stateError("57P01"), true, false},
		{stateError("08006"), true, false},
		{sqldriver.ErrBadConn, true, false},
		{io.ErrUnexpectedEOF, true, false},
		{errors.New("pq: unexpected message 'E'; expected ReadyForQuery"), true, false},
		{&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, true, false},
		{&fatalError{"FATAL", "08P01", ""}, true, false},
		{&fatalError{"ERROR", "08P01", ""}, false, false},
		{&fatalError{"FATAL", "08P01", "unsupported startup parameter: extra_float_digits"}, false, false},
		{stateError("25006"), false, false},
		{stateError("53000"), false, false},
		{stateError("53400"), false, false},
		{stateError("P0002"), false, false},
		{stateError("57014"), false, false},
		{errors.New("something else"), false, false},
	} {
		for what, call := range map[string]func(c *balancer.Client) error{
			"Assign":         func(c *balancer.Client) error { _, err := c.Assign(ctx, "1"); return err },
			"RoomServer":     func(c *balancer.Client) error { _, err := c.RoomServer(ctx, "1"); return err },
			"Touch":          func(c *balancer.Client) error { _, err := c.Touch(ctx, "1"); return err },
			"Heartbeat":      func(c *balancer.Client) error { _, err := c.Heartbeat(ctx, "a", true); return err },
			"SetServerState": func(c *balancer.Client) error { _, err := c.SetServerState(ctx, "a", "online"); return err },
			"Release":        func(c *balancer.Client) error { _, err := c.Release(ctx, "1"); return err },
			"Evacuate":       func(c *balancer.Client) error { _, err := c.Evacuate(ctx, "a"); return err },
		} {
			repeats := c.anything || c.twice && what != "Release" && what != "Evacuate"
			// Fails twice, and may succeed the third time.
			s := &scripted{errors: []error{c.err, c.err}}
			err := call(balancer.ForPgx[scriptedRow](s).WithRetry(fast))
			if want := map[bool]int{true: 3, false: 1}[repeats]; s.calls != want || (err == nil) != repeats {
				t.Errorf("%v: %s was made %d times, not %d: %v", c.err, what, s.calls, want, err)
			}
			// Fails too often.
			s = &scripted{errors: []error{c.err, c.err, c.err}}
			if err := call(balancer.ForPgx[scriptedRow](s).WithRetry(fast)); !errors.Is(err, c.err) {
				t.Errorf("%v: %s: %v", c.err, what, err)
			}
			// In a transaction.
			s = &scripted{errors: []error{c.err, c.err}}
			if err := call(balancer.ForPgxTx[scriptedRow](s)); s.calls != 1 || !errors.Is(err, c.err) {
				t.Errorf("%v in a transaction: %s was made %d times: %v", c.err, what, s.calls, err)
			}
		}
		if unusable := errors.Is(balancer.Wrap(ctx, c.err), balancer.ErrSource); unusable != (c.err.Error() == "ERROR 55000") {
			t.Errorf("%v is ErrSource: %v", c.err, unusable)
		}
		if temporary := balancer.Temporary(balancer.Wrap(ctx, c.err)); temporary != c.twice {
			t.Errorf("%v is temporary: %v", c.err, temporary)
		}
	}
}

// TestClientPauses: the context ends a pause, however long.
func TestClientPauses(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &scripted{errors: []error{stateError("40P01")}}
	slow := balancer.Retry{Attempts: 2, Pause: 1000 * time.Hour, MaxPause: 1000 * time.Hour}
	done := make(chan error)
	go func() {
		_, err := balancer.ForPgx[scriptedRow](s).WithRetry(slow).Assign(ctx, "1")
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if sqlState(err) != "40P01" || s.calls != 1 {
			t.Errorf("%v after %d calls", err, s.calls)
		}
	case <-time.After(patience):
		t.Error("the pause has not ended")
	}
}

// TestClientPrimary: what a standby refuses goes to the primary, and nothing else does.
func TestClientPrimary(t *testing.T) {
	db := open(t, "")
	standby := openSQL(t, "dbname="+database+" options='-c default_transaction_read_only=on'").client
	ctx := context.Background()
	_, err := standby.Assign(ctx, "1")
	expectKind(t, "without a primary", err, balancer.ErrReadOnly)
	server, err := standby.WithPrimary(balancer.ForDB(db)).Assign(ctx, "1")
	if err != nil {
		t.Fatal(err)
	}
	if recorded := mustAsk(t, db, "SELECT room_server('1')"); recorded != server {
		t.Errorf("%s, not %s", server, recorded)
	}
	unused := &scripted{}
	again, err := standby.WithPrimary(balancer.ForPgx[scriptedRow](unused)).Assign(ctx, "1")
	if err != nil || again != server || unused.calls != 0 {
		t.Errorf("a room that has a server: %s, and %d calls of the primary (%v)", again, unused.calls, err)
	}
}

// holdRoom assigns a room in a transaction that stays open: calls for the room wait. commit ends it.
func holdRoom(t *testing.T, db *sql.DB) (server string, commit func()) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var ended sync.Once
	commit = func() { ended.Do(func() { tx.Commit() }) }
	t.Cleanup(commit)
	return mustAsk(t, tx, "SELECT get_or_assign_server('held')"), commit
}

// assignHeld calls for the held room; the answer comes by the channel.
func assignHeld(ctx context.Context, c *balancer.Client) <-chan error {
	done := make(chan error, 1)
	go func() {
		server, err := c.Assign(ctx, "held")
		if err == nil {
			err = &answer{server}
		}
		done <- err
	}()
	return done
}

type answer struct{ server string }

func (a *answer) Error() string { return "answer " + a.server }

// waiting is true of one backend that waits for the held room.
const waiting = `FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
	AND wait_event_type = 'Lock' AND query LIKE '%get_or_assign_server($1%'`

// nextWait returns a column of the backend that waits for the held room, when it has another value than the last one.
func nextWait(t *testing.T, db *sql.DB, done <-chan error, column, last string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		select {
		case err := <-done:
			t.Fatalf("the call has ended: %v", err)
		default:
		}
		var next string
		if err := db.QueryRow("SELECT " + column + " " + waiting).Scan(&next); err != nil && err != sql.ErrNoRows {
			t.Fatal(err)
		}
		if next != "" && next != last {
			return next
		}
	}
	t.Fatal("no call waits, or none waits again")
	return ""
}

// TestClientWaits: a call that has waited for assign_timeout is repeated until the room is free; in a transaction, and
// without attempts left, it fails with ErrTimeout.
func TestClientWaits(t *testing.T) {
	db := open(t, "")
	mustRun(t, db, "ALTER DATABASE "+database+" SET gxy_balancer.assign_timeout = '20ms'")
	defer mustRun(t, db, "ALTER DATABASE "+database+" RESET gxy_balancer.assign_timeout")
	for name, way := range map[string]func(*testing.T, string) opened{"lib pq": openSQL, "pgx": openPgx} {
		t.Run(name, func(t *testing.T) {
			mustRun(t, db, "TRUNCATE room_server_assignments")
			server, commit := holdRoom(t, db)
			o := way(t, "dbname="+database)
			_, err := o.client.WithRetry(balancer.Retry{Attempts: 2, Pause: 1, MaxPause: 1}).Assign(context.Background(), "held")
			expectKind(t, "two attempts", err, balancer.ErrTimeout)
			tx, rollback := o.inTx(t)
			_, err = tx.Assign(context.Background(), "held")
			rollback()
			expectKind(t, "in a transaction", err, balancer.ErrTimeout)
			patient := o.client.WithRetry(balancer.Retry{Attempts: 1 << 30, Pause: time.Millisecond, MaxPause: time.Millisecond})
			done := assignHeld(context.Background(), patient)
			first := nextWait(t, db, done, "query_start::text", "")
			nextWait(t, db, done, "query_start::text", first)
			commit()
			if err := <-done; err.Error() != "answer "+server {
				t.Errorf("%v, not %s", err, server)
			}
		})
	}
}

// TestClientTerminated: a call whose backend is terminated is made again on another connection.
func TestClientTerminated(t *testing.T) {
	eachWay(t, func(t *testing.T, o opened) {
		db := open(t, "")
		server, commit := holdRoom(t, db)
		done := assignHeld(context.Background(), o.client)
		first := nextWait(t, db, done, "pid::text", "")
		mustRun(t, db, fmt.Sprintf("SELECT pg_terminate_backend(%s, 60000)", first))
		nextWait(t, db, done, "pid::text", first)
		commit()
		if err := <-done; err.Error() != "answer "+server {
			t.Errorf("%v, not %s", err, server)
		}
	})
}

// TestClientOnce: a call that must not be made twice is not repeated when its backend is terminated, by database/sql either,
// and its error does not invite the caller to.
func TestClientOnce(t *testing.T) {
	admin := open(t, "")
	mustRun(t, admin, "ALTER DATABASE "+database+" SET gxy_balancer.assign_timeout = '1h'")
	defer mustRun(t, admin, "ALTER DATABASE "+database+" RESET gxy_balancer.assign_timeout")
	eachWay(t, func(t *testing.T, o opened) {
		db := open(t, "")
		mustAsk(t, db, "SELECT get_or_assign_server('held')")
		for what, call := range map[string]func() error{
			"release_room": func() error { _, err := o.client.Release(context.Background(), "held"); return err },
			"evacuate_server": func() error {
				_, err := o.client.Evacuate(context.Background(), "gxy1", balancer.AtMost(1))
				return err
			},
		} {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec("LOCK room_server_assignments"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- call() }()
			blocked := "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%" + what + "($1%'"
			waitUntil(t, db, "SELECT true "+blocked)
			mustRun(t, db, "SELECT pg_terminate_backend(pid, 60000) "+blocked)
			select {
			case err := <-done:
				if err == nil || balancer.Temporary(err) {
					t.Errorf("%s: %v, temporary: %v", what, err, balancer.Temporary(err))
				}
			case <-time.After(patience):
				t.Errorf("%s is made again", what)
			}
			tx.Rollback()
		}
	})
}

// TestClientOnceIdle: such a call is made although the idle connections have been lost.
func TestClientOnceIdle(t *testing.T) {
	const idle = 12
	admin := open(t, "")
	db, err := sql.Open("postgres", "dbname="+database+" application_name=idle")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxIdleConns(idle)
	client := balancer.ForDB(db).WithRetry(balancer.Retry{Attempts: 1})
	if _, err := client.Assign(context.Background(), "1"); err != nil {
		t.Fatal(err)
	}
	var connections []*sql.Conn
	for i := 0; i < idle; i++ {
		connection, err := db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		connections = append(connections, connection)
	}
	for _, connection := range connections {
		connection.Close()
	}
	mustRun(t, admin, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'idle'")
	if released, err := client.Release(context.Background(), "1"); !released || err != nil {
		t.Errorf("%v, %v", released, err)
	}
	if balancer.Temporary(nil) {
		t.Error("no error is temporary")
	}
}

// TestClientCancelled: when the context ends the call ends, here and in the server.
func TestClientCancelled(t *testing.T) {
	admin := open(t, "")
	mustRun(t, admin, "ALTER DATABASE "+database+" SET gxy_balancer.assign_timeout = '1h'")
	defer mustRun(t, admin, "ALTER DATABASE "+database+" RESET gxy_balancer.assign_timeout")
	eachWay(t, func(t *testing.T, o opened) {
		db := open(t, "")
		holdRoom(t, db)
		ctx, cancel := context.WithCancel(context.Background())
		done := assignHeld(ctx, o.client)
		waitUntil(t, db, "SELECT true "+waiting)
		cancel()
		select {
		case err := <-done:
			expectKind(t, "a cancelled call", err, context.Canceled)
		case <-time.After(patience):
			t.Fatal("the call has not ended")
		}
		waitUntil(t, db, "SELECT NOT EXISTS (SELECT "+waiting+")")
		// The next call is not affected.
		if _, err := o.client.Assign(context.Background(), "another"); err != nil {
			t.Error(err)
		}
	})
}

// TestClientPoolerDefault: in the drivers' default modes calls fail behind a pooler, as the documentation says.
func TestClientPoolerDefault(t *testing.T) {
	for name, way := range map[string]func(*testing.T, string) opened{"lib pq": openSQL, "pgx": openPgx} {
		t.Run(name, func(t *testing.T) {
			open(t, "")
			client := way(t, throughPooler(t, "")).client
			service := calls{
				func(ctx context.Context, room int64) (string, error) { return client.Assign(ctx, fmt.Sprint(room)) },
				func(ctx context.Context, room int64) (bool, error) {
					return client.Touch(ctx, fmt.Sprint(room), balancer.Users(3))
				},
			}
			var err error
			for deadline := time.Now().Add(patience); err == nil && time.Now().Before(deadline); {
				err = callAtOnce(service)
			}
			switch sqlState(err) {
			case "26000", "42P05", "08P01":
			default:
				t.Errorf("%q (%v)", sqlState(err), err)
			}
		})
	}
}
