// Package gxybalancer tests gxy_balancer as a Go service meets it: through database/sql and lib/pq, and through pgx, with
// and without a pooler.
//
// It reads PGHOST, PGPORT, PGUSER and so on like any client, connects as a superuser, and works in databases of its own
// that it creates before and drops after. Debian's packages of lib/pq and pgx will do, without modules; `test/run go`
// adds the functions of the documentation, and starts the pooler.
//
// What it says of calling from Go:
//
//   - Pass the room as a parameter, as int64 or as string. lib/pq sends parameters as text and without a type; PostgreSQL
//     then takes the text form of the function, and both name the same room. No cast is needed.
//   - The same holds with binary_parameters=yes, which sends only []byte as binary.
//   - A []byte finds the text form as well. Only with binary_parameters=yes and the cast $1::bigint must it not be used:
//     eight raw bytes would be read as a number. The cast is otherwise harmless, and needed by drivers that send types.
//   - An error is a *pq.Error whose Code is the SQLSTATE; retry 40001, 40P01 and 55P03.
package gxybalancer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
)

// The two ways in which lib/pq sends parameters.
var modes = map[string]string{
	"text":   "",
	"binary": " binary_parameters=yes",
}

var database = fmt.Sprintf("gxy_balancer_go_%d", os.Getpid())

const servers = 4

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	admin, err := sql.Open("postgres", "")
	if err != nil {
		return 1, err
	}
	defer admin.Close()
	if _, err = admin.Exec("CREATE DATABASE " + pq.QuoteIdentifier(database)); err != nil {
		return 1, err
	}
	defer func() {
		_, dropped := admin.Exec("DROP DATABASE " + pq.QuoteIdentifier(database) + " WITH (FORCE)")
		if err == nil {
			err = dropped
		}
	}()
	db, err := sql.Open("postgres", "dbname="+database)
	if err != nil {
		return 1, err
	}
	defer db.Close()
	if _, err = db.Exec("CREATE EXTENSION gxy_balancer"); err != nil {
		return 1, err
	}
	if _, err = db.Exec("SELECT init_servers($1)", "gxy1,gxy2,gxy3,gxy4"); err != nil {
		return 1, err
	}
	db.Close()
	return m.Run(), nil
}

// open connects in one of the two modes, and empties the tables.
func open(t *testing.T, mode string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", "dbname="+database+mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec("TRUNCATE room_server_assignments"); err != nil {
		t.Fatal(err)
	}
	return db
}

type querier interface {
	QueryRow(query string, args ...interface{}) *sql.Row
}

func ask(q querier, query string, args ...interface{}) (server string, err error) {
	err = q.QueryRow(query, args...).Scan(&server)
	return
}

func mustAsk(t *testing.T, q querier, query string, args ...interface{}) string {
	t.Helper()
	server, err := ask(q, query, args...)
	if err != nil {
		t.Fatalf("%s with %v: %v", query, args, err)
	}
	return server
}

func count(t *testing.T, q querier) (rooms int) {
	t.Helper()
	if err := q.QueryRow("SELECT count(*) FROM room_server_assignments").Scan(&rooms); err != nil {
		t.Fatal(err)
	}
	return
}

// code returns the SQLSTATE of an error, or its text if it has none.
func code(err error) string {
	var failure *pq.Error
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &failure):
		return string(failure.Code)
	default:
		return err.Error()
	}
}

// TestRoomTypes: room 2171 is the same room in every type that the service may use.
func TestRoomTypes(t *testing.T) {
	type roomID int64
	type roomName string
	calls := []struct {
		name  string
		query string
		args  []interface{}
	}{
		{"int64", "SELECT get_or_assign_server($1)", []interface{}{int64(2171)}},
		{"string", "SELECT get_or_assign_server($1)", []interface{}{"2171"}},
		{"int", "SELECT get_or_assign_server($1)", []interface{}{2171}},
		{"uint32", "SELECT get_or_assign_server($1)", []interface{}{uint32(2171)}},
		{"named integer", "SELECT get_or_assign_server($1)", []interface{}{roomID(2171)}},
		{"named string", "SELECT get_or_assign_server($1)", []interface{}{roomName("2171")}},
		{"[]byte", "SELECT get_or_assign_server($1)", []interface{}{[]byte("2171")}},
		{"sql.NullInt64", "SELECT get_or_assign_server($1)", []interface{}{sql.NullInt64{Int64: 2171, Valid: true}}},
		{"sql.NullString", "SELECT get_or_assign_server($1)", []interface{}{sql.NullString{String: "2171", Valid: true}}},
		{"number in the query", "SELECT get_or_assign_server(2171)", nil},
		{"text in the query", "SELECT get_or_assign_server('2171')", nil},
		{"int64 with a cast to bigint", "SELECT get_or_assign_server($1::bigint)", []interface{}{int64(2171)}},
		{"string with a cast to bigint", "SELECT get_or_assign_server($1::bigint)", []interface{}{"2171"}},
		{"int64 with a cast to text", "SELECT get_or_assign_server($1::text)", []interface{}{int64(2171)}},
		{"with all arguments", "SELECT get_or_assign_server($1, $2, $3)", []interface{}{int64(2171), "IL", 30}},
		{"with nil for those", "SELECT get_or_assign_server($1, $2, $3)", []interface{}{int64(2171), nil, nil}},
		{"by name", "SELECT get_or_assign_server(room => $1, expected_users => $2)", []interface{}{int64(2171), 30}},
		{"as a table", "SELECT * FROM get_or_assign_server($1)", []interface{}{int64(2171)}},
	}
	for mode, setting := range modes {
		t.Run(mode, func(t *testing.T) {
			db := open(t, setting)
			first := mustAsk(t, db, "SELECT get_or_assign_server($1)", int64(2171))
			for _, call := range calls {
				t.Run(call.name, func(t *testing.T) {
					if server := mustAsk(t, db, call.query, call.args...); server != first {
						t.Errorf("room 2171 is on %s, not on %s", server, first)
					}
					if rooms := count(t, db); rooms != 1 {
						t.Errorf("there are %d rooms, not 1", rooms)
					}
				})
			}
		})
	}
}

// TestEveryTypeFirst: also if the call with that type is the one that assigns.
func TestEveryTypeFirst(t *testing.T) {
	for mode, setting := range modes {
		t.Run(mode, func(t *testing.T) {
			db := open(t, setting)
			for i, room := range []interface{}{int64(1), "2", 3, []byte("4"), int64(math.MaxInt64), int64(math.MinInt64), "a room"} {
				server := mustAsk(t, db, "SELECT get_or_assign_server($1)", room)
				text := fmt.Sprint(room)
				if bytes, ok := room.([]byte); ok {
					text = string(bytes)
				}
				if recorded := mustAsk(t, db, "SELECT gateway_name FROM room_server_assignments WHERE room_id = $1", text); recorded != server {
					t.Errorf("room %s: told %s, recorded %s", text, server, recorded)
				}
				if rooms := count(t, db); rooms != i+1 {
					t.Errorf("after room %s there are %d rooms", text, rooms)
				}
			}
		})
	}
}

// TestOtherFunctions: the same for the other functions.
func TestOtherFunctions(t *testing.T) {
	for mode, setting := range modes {
		t.Run(mode, func(t *testing.T) {
			db := open(t, setting)
			for _, room := range []interface{}{int64(7), "7"} {
				var server sql.NullString
				var done bool
				var freed int64
				check := func(err error, ok bool, what string) {
					t.Helper()
					if err != nil || !ok {
						t.Errorf("%T: %s: %v", room, what, err)
					}
				}
				err := db.QueryRow("SELECT room_server($1)", room).Scan(&server)
				check(err, !server.Valid, "a room without a server is NULL")
				err = db.QueryRow("SELECT touch_room($1, $2)", room, 3).Scan(&done)
				check(err, !done, "there is nothing to touch")
				assigned := mustAsk(t, db, "SELECT get_or_assign_server($1)", room)
				err = db.QueryRow("SELECT room_server($1)", room).Scan(&server)
				check(err, server.String == assigned, "room_server tells the same")
				err = db.QueryRow("SELECT touch_room($1, $2)", room, 3).Scan(&done)
				check(err, done, "it is touched")
				err = db.QueryRow("SELECT clean_inactive_assignments($1)", "1 hour").Scan(&freed)
				check(err, freed == 0, "it is not freed")
				err = db.QueryRow("SELECT release_room($1)", room).Scan(&done)
				check(err, done, "it is released")
				if _, err = db.Exec("SELECT get_or_assign_server($1)", room); err != nil {
					t.Error(err)
				}
				err = db.QueryRow("SELECT clean_inactive_assignments('0')").Scan(&freed)
				check(err, freed == 1, "it is freed")
			}
		})
	}
}

// TestParameterFindsTextForm: which type PostgreSQL gives an untyped $1, as the server has stored
// it.
func TestParameterFindsTextForm(t *testing.T) {
	db := open(t, "")
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for query, types := range map[string]string{
		"SELECT get_or_assign_server($1)":                 "{text}",
		"SELECT get_or_assign_server($1, $2, $3)":         "{text,text,integer}",
		"SELECT touch_room($1, $2)":                       "{text,integer}",
		"SELECT room_server($1)":                          "{text}",
		"SELECT get_or_assign_server($1::bigint)":         "{bigint}",
		"SELECT get_or_assign_server($1::bigint, $2, $3)": "{bigint,text,integer}",
	} {
		statement, err := conn.PrepareContext(context.Background(), query)
		if err != nil {
			t.Fatal(err)
		}
		var found string
		err = conn.QueryRowContext(context.Background(),
			"SELECT parameter_types::text FROM pg_prepared_statements WHERE statement = '"+query+"'").Scan(&found)
		if err != nil || found != types {
			t.Errorf("%s takes %s, not %s (%v)", query, found, types, err)
		}
		statement.Close()
	}
}

// TestBytesWithCast: the one case that fails. As text, bytes are the digits of a number. As binary,
// they are the number itself: four bytes are too few, and eight are another room.
func TestBytesWithCast(t *testing.T) {
	query := "SELECT get_or_assign_server($1::bigint)"
	db := open(t, modes["text"])
	server := mustAsk(t, db, query, []byte("2171"))
	if again := mustAsk(t, db, "SELECT get_or_assign_server(2171)"); again != server {
		t.Errorf("as text: %s, not %s", server, again)
	}
	db = open(t, modes["binary"])
	if _, err := ask(db, query, []byte("2171")); code(err) != "08P01" {
		t.Errorf("as binary: %s, not 08P01", code(err))
	}
	mustAsk(t, db, query, []byte("12345678"))
	var room string
	if err := db.QueryRow("SELECT room_id FROM room_server_assignments").Scan(&room); err != nil {
		t.Fatal(err)
	}
	if room != "3544952156018063160" {
		t.Errorf("the bytes of 12345678 name room %s", room)
	}
}

// TestJSONAsBytes: with binary_parameters=yes a []byte is no jsonb any more. An application that passes one, as gxydb-api
// does with each session, cannot use it.
func TestJSONAsBytes(t *testing.T) {
	for name, mode := range modes {
		answer, err := ask(open(t, mode), "SELECT $1::jsonb->>'a'", []byte(`{"a": "b"}`))
		if fails := mode != ""; fails != (err != nil) || !fails && answer != "b" {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
}

// TestPrepared: a statement prepared once and used by many goroutines. database/sql prepares it on
// many connections.
func TestPrepared(t *testing.T) {
	for mode, setting := range modes {
		t.Run(mode, func(t *testing.T) {
			db := open(t, setting)
			statement, err := db.Prepare("SELECT get_or_assign_server($1)")
			if err != nil {
				t.Fatal(err)
			}
			defer statement.Close()
			// PostgreSQL switches to a generic plan after five executions.
			for i := 0; i < 12; i++ {
				room := int64(i % 3)
				var byNumber, byText string
				if err := statement.QueryRow(room).Scan(&byNumber); err != nil {
					t.Fatal(err)
				}
				if err := statement.QueryRow(strconv.FormatInt(room, 10)).Scan(&byText); err != nil {
					t.Fatal(err)
				}
				if byNumber != byText {
					t.Errorf("room %d is on %s as a number and on %s as text", room, byNumber, byText)
				}
			}
			var none string
			if err := statement.QueryRow("").Scan(&none); code(err) != "22023" {
				t.Errorf("an empty room: %s, not 22023", code(err))
			}
			if err := statement.QueryRow(int64(1)).Scan(&none); err != nil {
				t.Errorf("the statement is of no use after an error: %v", err)
			}
			if rooms := count(t, db); rooms != 3 {
				t.Errorf("there are %d rooms, not 3", rooms)
			}
		})
	}
}

// TestTransaction: an assignment belongs to the transaction, and is gone after its rollback.
func TestTransaction(t *testing.T) {
	for mode, setting := range modes {
		t.Run(mode, func(t *testing.T) {
			db := open(t, setting)
			for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
				tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
				if err != nil {
					t.Fatal(err)
				}
				server := mustAsk(t, tx, "SELECT get_or_assign_server($1)", int64(5))
				if again := mustAsk(t, tx, "SELECT get_or_assign_server($1)", "5"); again != server {
					t.Errorf("%v: %s, then %s", level, server, again)
				}
				if rooms := count(t, tx); rooms != 1 {
					t.Errorf("%v: the transaction sees %d rooms", level, rooms)
				}
				if rooms := count(t, db); rooms != 0 {
					t.Errorf("%v: others see %d rooms", level, rooms)
				}
				if err := tx.Rollback(); err != nil {
					t.Fatal(err)
				}
				if rooms := count(t, db); rooms != 0 {
					t.Errorf("%v: %d rooms are left", level, rooms)
				}
				var load int
				if err := db.QueryRow("SELECT sum(load) FROM balancer_load").Scan(&load); err != nil || load != 0 {
					t.Errorf("%v: %d users are left in the load (%v)", level, load, err)
				}
				tx, err = db.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
				if err != nil {
					t.Fatal(err)
				}
				server = mustAsk(t, tx, "SELECT get_or_assign_server($1)", int64(level))
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				if again := mustAsk(t, db, "SELECT get_or_assign_server($1)", int64(level)); again != server {
					t.Errorf("%v: committed %s, then %s", level, server, again)
				}
				if _, err := db.Exec("TRUNCATE room_server_assignments"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestErrors: pq.Error.Code is the SQLSTATE, and Hint says what to do.
func TestErrors(t *testing.T) {
	ordinary := &sql.TxOptions{}
	readOnly := &sql.TxOptions{ReadOnly: true}
	cases := []struct {
		name    string
		options *sql.TxOptions
		setting string
		query   string
		args    []interface{}
		code    string
		hinted  bool
	}{
		{"nil", ordinary, "", "SELECT get_or_assign_server($1)", []interface{}{nil}, "22004", false},
		{"NULL string", ordinary, "", "SELECT get_or_assign_server($1)", []interface{}{sql.NullString{}}, "22004", false},
		{"NULL int64", ordinary, "", "SELECT get_or_assign_server($1::bigint)", []interface{}{sql.NullInt64{}}, "22004", false},
		{"empty", ordinary, "", "SELECT get_or_assign_server($1)", []interface{}{""}, "22023", true},
		{"too long", ordinary, "", "SELECT get_or_assign_server($1)", []interface{}{fmt.Sprintf("%256d", 1)}, "22023", true},
		{"no users", ordinary, "", "SELECT get_or_assign_server($1, $2, $3)", []interface{}{1, "", 0}, "22023", true},
		{"no number for a bigint", ordinary, "", "SELECT get_or_assign_server($1::bigint)", []interface{}{"a room"}, "22P02", false},
		{"negative grace", ordinary, "", "SELECT clean_inactive_assignments($1)::text", []interface{}{"-1 s"}, "22023", true},
		{"unknown server", ordinary, "", "SELECT server_state($1)", []interface{}{"gxy99"}, "42704", true},
		{"no server", ordinary, "DELETE FROM balancer_servers; SET LOCAL gxy_balancer.default_servers = ''",
			"SELECT get_or_assign_server($1)", []interface{}{int64(1)}, "53000", true},
		{"all full", ordinary, "UPDATE balancer_servers SET capacity = 15; SET LOCAL gxy_balancer.overflow = error; " +
			"SELECT get_or_assign_server(i) FROM generate_series(11, 14) i",
			"SELECT get_or_assign_server($1)", []interface{}{int64(1)}, "53400", true},
		{"unknown room", ordinary, "CREATE TABLE app_rooms (room_id int); SELECT attach_rooms('app_rooms')",
			"SELECT get_or_assign_server($1)", []interface{}{int64(1)}, "P0002", true},
		{"sessions gone", ordinary, "CREATE TABLE app_sessions (room_id int, user_id int); " +
			"SELECT attach_sessions('app_sessions'); DROP TABLE app_sessions",
			"SELECT get_or_assign_server($1)", []interface{}{int64(1)}, "55000", true},
		{"new room, read only", readOnly, "", "SELECT get_or_assign_server($1)", []interface{}{int64(1)}, "25006", true},
		{"touch, read only", readOnly, "", "SELECT touch_room($1)::text", []interface{}{int64(1)}, "25006", true},
		{"no right", ordinary, "SET LOCAL ROLE pg_monitor", "SELECT get_or_assign_server($1)", []interface{}{int64(1)}, "42501", false},
		{"a setting of the superuser's", ordinary, "SET LOCAL ROLE pg_monitor",
			"SELECT set_config('gxy_balancer.strategy', $1, true)", []interface{}{"sequential"}, "42501", false},
	}
	for mode, setting := range modes {
		t.Run(mode, func(t *testing.T) {
			db := open(t, setting)
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					tx, err := db.BeginTx(context.Background(), c.options)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := tx.Exec(c.setting); err != nil {
						t.Fatal(err)
					}
					_, err = ask(tx, c.query, c.args...)
					if code(err) != c.code {
						t.Errorf("%s with %v: %s, not %s (%v)", c.query, c.args, code(err), c.code, err)
					}
					var failure *pq.Error
					if errors.As(err, &failure) && c.hinted && failure.Hint == "" {
						t.Errorf("no hint: %v", failure)
					}
					if err := tx.Rollback(); err != nil {
						t.Fatal(err)
					}
					if rooms := count(t, db); rooms != 0 {
						t.Errorf("%d rooms are left", rooms)
					}
				})
			}
		})
	}
}

// TestReadOnlySticky: a room that has a server is answered in a read-only transaction, too.
func TestReadOnlySticky(t *testing.T) {
	db := open(t, "")
	server := mustAsk(t, db, "SELECT get_or_assign_server($1)", int64(1))
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if again := mustAsk(t, tx, "SELECT get_or_assign_server($1)", "1"); again != server {
		t.Errorf("%s, not %s", again, server)
	}
}

// TestWaiting: a call waits for a transaction that is assigning the same room, for no other, and
// not for ever.
func TestWaiting(t *testing.T) {
	db := open(t, "")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	server := mustAsk(t, tx, "SELECT get_or_assign_server($1)", int64(1))

	other, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(context.Background(), "SET gxy_balancer.assign_timeout = '100ms'"); err != nil {
		t.Fatal(err)
	}
	var answer string
	err = other.QueryRowContext(context.Background(), "SELECT get_or_assign_server($1)", int64(2)).Scan(&answer)
	if err != nil {
		t.Errorf("another room: %v", err)
	}
	err = other.QueryRowContext(context.Background(), "SELECT get_or_assign_server($1)", int64(1)).Scan(&answer)
	if code(err) != "55P03" {
		t.Errorf("the same room: %s, not 55P03", code(err))
	}

	// A cancelled caller's call ends too; the connection can be used afterwards.
	patience, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	err = db.QueryRowContext(patience, "SELECT get_or_assign_server($1)", int64(1)).Scan(&answer)
	if err == nil || (code(err) != "57014" && !errors.Is(err, context.DeadlineExceeded)) {
		t.Errorf("a cancelled call: %s, not 57014", code(err))
	}

	// A waiting caller gets its answer as soon as the other transaction commits.
	told := make(chan string)
	go func() {
		server, err := ask(db, "SELECT get_or_assign_server($1)", "1")
		if err != nil {
			server = err.Error()
		}
		told <- server
	}()
	if err := waitForWaiter(db); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if answer := <-told; answer != server {
		t.Errorf("told %s, not %s", answer, server)
	}
}

// waitForWaiter returns when a call waits for another transaction.
func waitForWaiter(db *sql.DB) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var waiting bool
		err := db.QueryRow(`SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%get_or_assign_server%')`).Scan(&waiting)
		if err != nil || waiting {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("no call waits")
}

// TestLatestSnapshot: a transaction whose snapshot is an hour old still balances, and cleans, by
// the latest committed state.
func TestLatestSnapshot(t *testing.T) {
	db := open(t, "")
	mustExec := func(query string) {
		t.Helper()
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	mustExec("CREATE TABLE live (room_id text, user_id int, gateway_name text)")
	mustExec("SELECT attach_sessions('live')")
	defer mustExec("SELECT attach_sessions(NULL); DROP TABLE live")
	for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
		mustExec("TRUNCATE live, room_server_assignments")
		mustExec("INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('old', 'gxy1'), ('empty', 'gxy1')")
		tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
		if err != nil {
			t.Fatal(err)
		}
		if rooms := count(t, tx); rooms != 2 {
			t.Errorf("%v: %d rooms to begin with", level, rooms)
		}
		mustExec(`INSERT INTO live SELECT 'r' || i % 3, i, 'gxy' || 1 + i % 3 FROM generate_series(1, 60) i`)
		mustExec(`INSERT INTO live VALUES ('old', 1000, 'gxy1')`)
		if server := mustAsk(t, tx, "SELECT get_or_assign_server($1)", "new"); server != "gxy4" {
			t.Errorf("%v: the new room is on %s, where people are, not on gxy4", level, server)
		}
		mustExec(`INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('later', 'gxy2')`)
		if server := mustAsk(t, tx, "SELECT get_or_assign_server($1)", "later"); server != "gxy2" {
			t.Errorf("%v: a room that others have assigned meanwhile is on %s, not on gxy2", level, server)
		}
		var freed int
		if err := tx.QueryRow("SELECT clean_inactive_assignments('0')").Scan(&freed); err != nil {
			t.Fatal(err)
		}
		if freed != 3 {
			t.Errorf("%v: %d rooms were freed, not empty, new and later", level, freed)
		}
		if server := mustAsk(t, tx, "SELECT get_or_assign_server($1)", "old"); server != "gxy1" {
			t.Errorf("%v: the room with a user is on %s, not on gxy1", level, server)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeadlock: two transactions call for two new rooms in opposite order. One gets 40P01, and may
// try again.
func TestDeadlock(t *testing.T) {
	db := open(t, "")
	begin := func() *sql.Tx {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("SET LOCAL deadlock_timeout = '20ms'; SET LOCAL gxy_balancer.assign_timeout = '1min'"); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	one, two := begin(), begin()
	mustAsk(t, one, "SELECT get_or_assign_server($1)", "A")
	mustAsk(t, two, "SELECT get_or_assign_server($1)", "B")
	outcome := make(chan error)
	finish := func(tx *sql.Tx, room string) {
		_, err := ask(tx, "SELECT get_or_assign_server($1)", room)
		if err != nil {
			tx.Rollback()
		} else {
			err = tx.Commit()
		}
		outcome <- err
	}
	go finish(one, "B")
	go finish(two, "A")
	first, second := <-outcome, <-outcome
	if first == nil {
		first, second = second, first
	}
	if code(first) != "40P01" || second != nil {
		t.Errorf("one got %s, the other %s", code(first), code(second))
	}
	if rooms := count(t, db); rooms != 2 {
		t.Errorf("%d rooms were assigned, not 2", rooms)
	}
}

// TestConcurrentCallers: 16 goroutines ask for the same new rooms, each in another order and with
// another type. They get the same server for every room, and the rooms are spread evenly.
func TestConcurrentCallers(t *testing.T) {
	const callers, rooms = 16, 120
	for mode, setting := range modes {
		t.Run(mode, func(t *testing.T) {
			db := open(t, setting)
			db.SetMaxOpenConns(callers)
			answers := make([][rooms]string, callers)
			failures := make([]error, callers)
			start := make(chan struct{})
			var all sync.WaitGroup
			for caller := 0; caller < callers; caller++ {
				all.Add(1)
				go func(caller int) {
					defer all.Done()
					order := rand.New(rand.NewSource(int64(caller))).Perm(rooms)
					<-start
					for _, room := range order {
						var argument interface{} = int64(room)
						if caller%2 == 1 {
							argument = strconv.Itoa(room)
						}
						answer, err := ask(db, "SELECT get_or_assign_server($1)", argument)
						if err != nil {
							failures[caller] = err
							return
						}
						answers[caller][room] = answer
					}
				}(caller)
			}
			close(start)
			all.Wait()
			for caller, err := range failures {
				if err != nil {
					t.Fatalf("caller %d: %v", caller, err)
				}
			}
			perServer := map[string]int{}
			for room := 0; room < rooms; room++ {
				perServer[answers[0][room]]++
				for caller := range answers {
					if answers[caller][room] != answers[0][room] {
						t.Errorf("room %d: caller %d was told %s, caller 0 %s", room, caller, answers[caller][room], answers[0][room])
					}
				}
				recorded := mustAsk(t, db, "SELECT room_server($1)", int64(room))
				if recorded != answers[0][room] {
					t.Errorf("room %d: told %s, recorded %s", room, answers[0][room], recorded)
				}
			}
			if found := count(t, db); found != rooms {
				t.Errorf("there are %d rooms, not %d", found, rooms)
			}
			for server, n := range perServer {
				if n != rooms/servers {
					t.Errorf("%s has %d rooms, not %d", server, n, rooms/servers)
				}
			}
		})
	}
}

// TestConcurrentRooms: 16 transactions assign 16 new rooms at the same time, and all stay open
// until all have done so. None waits for another, and in any order the rooms are spread evenly.
func TestConcurrentRooms(t *testing.T) {
	const callers, rounds = 16, 25
	db := open(t, "")
	db.SetMaxOpenConns(callers + 1)
	db.SetMaxIdleConns(callers + 1)
	for round := 0; round < rounds; round++ {
		failures := make(chan error, callers)
		start := make(chan struct{})
		var ready, assigned, all sync.WaitGroup
		ready.Add(callers)
		assigned.Add(callers)
		all.Add(callers)
		for caller := 0; caller < callers; caller++ {
			go func(room int64) {
				defer all.Done()
				tx, err := db.Begin()
				ready.Done()
				<-start
				if err == nil {
					_, err = ask(tx, "SELECT get_or_assign_server($1)", room)
				}
				assigned.Done()
				assigned.Wait()
				if err == nil {
					err = tx.Commit()
				}
				failures <- err
			}(int64(round*callers + caller))
		}
		ready.Wait()
		close(start)
		all.Wait()
		for caller := 0; caller < callers; caller++ {
			if err := <-failures; err != nil {
				t.Fatal(err)
			}
		}
		var least, most int
		err := db.QueryRow("SELECT min(rooms), max(rooms) FROM balancer_load").Scan(&least, &most)
		if err != nil {
			t.Fatal(err)
		}
		if want := (round + 1) * callers / servers; least != want || most != want {
			t.Fatalf("after round %d the servers have %d to %d rooms, not %d", round, least, most, want)
		}
	}
}
