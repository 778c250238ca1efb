package gxybalancer

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
)

// A service with its own table, and the answers that its replicas got.
type service struct {
	t        *testing.T
	admin    *sql.DB
	api      string // connects as the API's role
	mutex    sync.Mutex
	answers  map[int64]map[string]bool // the servers that callers of each room were given
	failures []error
	calls    int
	stop     chan struct{}
	replicas sync.WaitGroup
}

const oldTable = `CREATE TABLE room_server_assignments (
	room_id varchar(255) PRIMARY KEY,
	gateway_name varchar(50) NOT NULL,
	region varchar(50),
	assigned_at timestamp NOT NULL DEFAULT now(),
	last_used_at timestamp NOT NULL DEFAULT now()
)`

// newService makes a database with the tables that the service's statements name.
func newService(t *testing.T, mode string) *service {
	t.Helper()
	name := fmt.Sprintf("gxy_balancer_go_%d_service", os.Getpid())
	maintenance, err := sql.Open("postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, maintenance, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		mustRun(t, maintenance, "DROP DATABASE "+name)
		maintenance.Close()
	})
	admin, err := sql.Open("postgres", "dbname="+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	mustRun(t, admin, `DO $$ BEGIN CREATE ROLE gxydb_api; EXCEPTION WHEN duplicate_object THEN END $$;
		CREATE TABLE sessions (user_id int, room_id varchar(255), removed_at timestamptz, updated_at timestamptz);
		GRANT SELECT ON sessions TO gxydb_api;
		GRANT CREATE ON SCHEMA public TO gxydb_api`)
	mustRun(t, admin, oldTable+"; ALTER TABLE room_server_assignments OWNER TO gxydb_api")
	return &service{t: t, admin: admin, api: "dbname=" + name + " options='-c role=gxydb_api'" + mode,
		answers: map[int64]map[string]bool{}, stop: make(chan struct{})}
}

func mustRun(t *testing.T, db *sql.DB, statements string) {
	t.Helper()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// migrate sends a whole file at once, as a migration tool does.
func (s *service) migrate(file string) {
	s.t.Helper()
	statements, err := os.ReadFile("../../examples/gxydb/migrations/" + file)
	if err != nil {
		s.t.Fatal(err)
	}
	mustRun(s.t, s.admin, string(statements))
}

func (s *service) note(room int64, answer string, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.calls++
	if err != nil {
		s.failures = append(s.failures, err)
		return
	}
	if s.answers[room] == nil {
		s.answers[room] = map[string]bool{}
	}
	s.answers[room][answer] = true
}

// known returns a room that has been answered, preferring the latest.
func (s *service) known(back int64) (room int64, ok bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for room = int64(len(s.answers)) - back%50; room > 0; room-- {
		if s.answers[room] != nil {
			return room, true
		}
	}
	return 0, false
}

// oldCall is the service's own GetOrAssignServer: a read, then a renewal, or a choice and an
// upsert.
func oldCall(db *sql.DB, room int64) (server string, err error) {
	id := strconv.FormatInt(room, 10)
	err = db.QueryRow("SELECT gateway_name FROM room_server_assignments WHERE room_id = $1", id).Scan(&server)
	if err == nil {
		_, err = db.Exec("UPDATE room_server_assignments SET last_used_at = $1 WHERE room_id = $2", time.Now().UTC(), id)
		return
	}
	if err != sql.ErrNoRows {
		return
	}
	err = db.QueryRow(`INSERT INTO room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (room_id) DO UPDATE SET last_used_at = EXCLUDED.last_used_at
		RETURNING gateway_name`, id, fmt.Sprintf("gxy%d", 1+room%12), "", time.Now().UTC(), time.Now().UTC()).Scan(&server)
	return
}

// replica calls until the service stops, on one connection.
func (s *service) replica(call func(db *sql.DB, turn int64)) {
	db, err := sql.Open("postgres", s.api)
	if err != nil {
		s.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	s.replicas.Add(1)
	go func() {
		defer s.replicas.Done()
		defer db.Close()
		for turn := int64(0); ; turn++ {
			select {
			case <-s.stop:
				return
			default:
				call(db, turn)
			}
		}
	}()
}

const oldReplicas = 8

// Old replicas open new rooms, one after the other, and ask again for rooms of all replicas.
func (s *service) startOldReplicas() {
	for i := int64(0); i < oldReplicas; i++ {
		i := i
		s.replica(func(db *sql.DB, turn int64) {
			room := turn*oldReplicas + i + 1
			server, err := oldCall(db, room)
			s.note(room, server, err)
			if room, ok := s.known(turn * 7); ok {
				server, err := oldCall(db, room)
				s.note(room, server, err)
			}
		})
	}
}

// New replicas ask for rooms that others have opened, and open some of their own.
func (s *service) startNewReplicas() {
	for i := int64(0); i < 4; i++ {
		i := i
		s.replica(func(db *sql.DB, turn int64) {
			room, ok := s.known(turn * 11)
			if !ok || turn%4 == 0 {
				room = 1000000 + turn*4 + i
			}
			server, err := ask(db, "SELECT get_or_assign_server($1, $2)", room, "")
			s.note(room, server, err)
		})
	}
}

// The cleanup of an old replica, without a grace period. Its failures do not count as failed calls.
func (s *service) startOldCleanup(outcome func(rows int64, err error)) {
	s.replica(func(db *sql.DB, turn int64) {
		result, err := db.Exec(`DELETE FROM room_server_assignments rsa
			WHERE NOT EXISTS (SELECT 1 FROM sessions s
				WHERE s.room_id = rsa.room_id AND s.removed_at IS NULL AND s.updated_at >= $1)`, time.Now())
		var rows int64
		if err == nil {
			rows, err = result.RowsAffected()
		}
		outcome(rows, err)
	})
}

// wait returns when so many more calls have ended.
func (s *service) wait(more int) {
	s.t.Helper()
	count := func() int {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		return s.calls
	}
	target := count() + more
	for deadline := time.Now().Add(time.Minute); count() < target; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("the replicas do not call")
		}
	}
}

// judge stops the replicas. It checks that each room has had one server and that no call has
// failed. One failure is allowed: with statements sent in two steps, one 0A000 for each connection
// and change of the table.
func (s *service) judge(mode string, changes int) {
	close(s.stop)
	s.replicas.Wait()
	inFlight := 0
	for _, err := range s.failures {
		if mode == "" && code(err) == "0A000" {
			inFlight++
			continue
		}
		s.t.Errorf("a call failed: %s (%v)", code(err), err)
	}
	if inFlight > changes*oldReplicas {
		s.t.Errorf("%d calls were in flight on %d connections", inFlight, oldReplicas)
	}
	split := 0
	for room, servers := range s.answers {
		if len(servers) != 1 {
			split++
			s.t.Logf("room %d: %v", room, servers)
		}
	}
	if split > 0 {
		s.t.Errorf("%d of %d rooms are split", split, len(s.answers))
	}
	s.t.Logf("%d calls, %d rooms, %d calls in flight failed", s.calls, len(s.answers), inFlight)
}

// TestTakingOver: the extension replaces the table of a service in use, and new replicas run beside
// the old ones.
func TestTakingOver(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			s := newService(t, mode)
			s.startOldReplicas()
			s.wait(500)
			s.migrate("2_take_over.up.sql")
			mustRun(t, s.admin, `GRANT EXECUTE ON FUNCTION get_or_assign_server(text, text, int) TO gxydb_api`)
			var attempts, refused int
			s.startOldCleanup(func(rows int64, err error) {
				attempts++
				if code(err) == "42501" {
					refused++
				}
			})
			s.startNewReplicas()
			s.wait(2000)
			s.judge(mode, 1)
			if attempts == 0 || refused != attempts {
				t.Errorf("of %d old cleanups %d were refused", attempts, refused)
			}
		})
	}
}

// TestGoingBack: the service returns to its own table while old replicas run.
func TestGoingBack(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			s := newService(t, mode)
			s.migrate("2_take_over.up.sql")
			s.startOldReplicas()
			s.wait(500)
			s.migrate("2_take_over.down.sql")
			s.wait(500)
			s.judge(mode, 1)
			var extensions int
			err := s.admin.QueryRow("SELECT count(*) FROM pg_extension WHERE extname = 'gxy_balancer'").Scan(&extensions)
			if err != nil || extensions != 0 {
				t.Errorf("%d extensions (%v)", extensions, err)
			}
		})
	}
}

// TestInterruptedTakeOver: a transaction that has used the old table stays open. The change gives
// up in time, and changes nothing.
func TestInterruptedTakeOver(t *testing.T) {
	s := newService(t, "")
	tx, err := s.admin.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("SELECT FROM room_server_assignments"); err != nil {
		t.Fatal(err)
	}
	statements, err := os.ReadFile("../../examples/gxydb/migrations/2_take_over.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.admin.Exec(string(statements))
	var failure *pq.Error
	if !errors.As(err, &failure) || failure.Code != "55P03" {
		t.Errorf("%v, not 55P03", err)
	}
	if server, err := oldCall(s.admin, 1); err != nil || server != "gxy2" {
		t.Errorf("%s, %v", server, err)
	}
}
