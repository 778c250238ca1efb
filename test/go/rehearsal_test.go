package gxybalancer

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A night in which a service moves over to the extension, goes back, and moves over again, while its clients call all
// the time: old replicas, old and new ones, new ones, old ones, and so on. The new replicas have the code of
// doc/taking-over.md; the old ones send the statements of the service's own balancer, failover and cleanup. The
// migrations are taken as golang-migrate takes them. Connections are as the service's: a call that is under way when the
// table changes fails, and no other.

const (
	failed      = "gxy3"
	oldOnes     = 3 // old replicas
	connections = 4 // of each replica
	changes     = 3 // of the table: there, back, and there again
)

// night is what all replicas and clients share.
type night struct {
	*service
	api        string
	next       int64        // the last room that was opened
	health     sync.RWMutex // held while an old replica answers, by what it has heard
	down       bool
	moved      atomic.Bool // no answer may name the failed server any more
	mu         sync.RWMutex
	running    []*replica
	phase      string
	asked      map[string]int // calls of each phase
	refused    map[string]int // what old replicas did without the right to
	where      map[int64]string
	afterMove  []string
	background sync.WaitGroup
}

// replica is one process of the service. Exactly one of the two versions answers.
type replica struct {
	night *night
	db    *sql.DB
	new   *RoomServerAssignmentManager // nil in an old replica
	calls sync.WaitGroup
}

func (n *night) start(count int, isNew bool) {
	n.t.Helper()
	for i := 0; i < count; i++ {
		db, err := sql.Open("postgres", n.api)
		if err != nil {
			n.t.Fatal(err)
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		r := &replica{night: n, db: db}
		if isNew {
			r.new = NewRoomServerAssignmentManager(db)
		}
		n.mu.Lock()
		n.running = append(n.running, r)
		n.mu.Unlock()
	}
}

// halt takes the replicas of a version out of the load balancer, and ends them when they have answered.
func (n *night) halt(isNew bool) {
	var leave, stay []*replica
	n.mu.Lock()
	for _, r := range n.running {
		if (r.new != nil) == isNew {
			leave = append(leave, r)
		} else {
			stay = append(stay, r)
		}
	}
	n.running = stay
	n.mu.Unlock()
	for _, r := range leave {
		r.calls.Wait()
		r.db.Close()
	}
}

func (n *night) refuse(what string, err error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.refused[what+" "+code(err)]++
}

// hear tells all old replicas whether the server is down.
func (n *night) hear(down bool) {
	n.health.Lock()
	defer n.health.Unlock()
	n.down = down
}

// online is what an old replica has heard of a server.
func (n *night) online(server string) bool {
	return server != failed || !n.down
}

// choose is the old choice: the server of the fewest rooms that is online.
func (r *replica) choose() (least string, err error) {
	rows, err := r.db.Query(`SELECT gateway_name, count(*) FROM room_server_assignments WHERE gateway_name = ANY($1)
		GROUP BY gateway_name`, "{gxy1,gxy2,gxy3,gxy4,gxy5,gxy6,gxy7,gxy8,gxy9,gxy10,gxy11,gxy12}")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	loads := map[string]int{}
	for rows.Next() {
		var server string
		var rooms int
		if err := rows.Scan(&server, &rooms); err != nil {
			return "", err
		}
		loads[server] = rooms
	}
	for i := 1; i <= 12; i++ {
		server := fmt.Sprintf("gxy%d", i)
		if r.night.online(server) && (least == "" || loads[server] < loads[least]) {
			least = server
		}
	}
	return least, rows.Err()
}

// move is the old move of a room whose server is offline. Returns "" if it did not succeed.
func (r *replica) move(room, from string) string {
	to, err := r.choose()
	if err != nil {
		return ""
	}
	tx, err := r.db.Begin()
	if err != nil {
		return ""
	}
	defer tx.Rollback()
	_, err = tx.Exec("UPDATE room_server_assignments SET gateway_name = $1, last_used_at = $2 WHERE room_id = $3 AND gateway_name = $4",
		to, time.Now().UTC(), room, from)
	if err != nil {
		r.night.refuse("move", err)
		return ""
	}
	if err := tx.QueryRow("SELECT gateway_name FROM room_server_assignments WHERE room_id = $1", room).Scan(&to); err != nil {
		return ""
	}
	tx.Commit()
	return to
}

func (r *replica) answer(id int64) (server string, err error) {
	room := strconv.FormatInt(id, 10)
	if r.new != nil {
		return r.new.GetOrAssignServer(context.Background(), room, "")
	}
	r.night.health.RLock()
	defer r.night.health.RUnlock()
	err = r.db.QueryRow("SELECT gateway_name FROM room_server_assignments WHERE room_id = $1", room).Scan(&server)
	if err == nil {
		if !r.night.online(server) {
			if to := r.move(room, server); to != "" {
				return to, nil
			}
		}
		_, err = r.db.Exec("UPDATE room_server_assignments SET last_used_at = $1 WHERE room_id = $2", time.Now().UTC(), room)
		return server, err
	}
	if err != sql.ErrNoRows {
		return "", err
	}
	chosen, err := r.choose()
	if err != nil {
		return "", err
	}
	err = r.db.QueryRow(`INSERT INTO room_server_assignments (room_id, gateway_name, region, assigned_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (room_id) DO UPDATE SET last_used_at = EXCLUDED.last_used_at
		RETURNING gateway_name`, room, chosen, "", time.Now().UTC(), time.Now().UTC()).Scan(&server)
	return server, err
}

// join records the session of a user who has connected to the server.
func (r *replica) join(user, id int64, server string) error {
	tx, err := r.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	room := strconv.FormatInt(id, 10)
	_, err = tx.Exec(`INSERT INTO sessions (user_id, room_id, gateway_id, gateway_session, gateway_feed, updated_at)
		SELECT $1, $2, id, $3, $4, $5 FROM gateways WHERE name = $6
		ON CONFLICT (user_id, gateway_id, gateway_session) DO UPDATE SET updated_at = EXCLUDED.updated_at`,
		user, room, id, room, time.Now().UTC(), server)
	if err == nil && r.new == nil {
		_, err = tx.Exec("UPDATE room_server_assignments SET last_used_at = $1 WHERE room_id = $2", time.Now().UTC(), room)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// clean is the old cleanup. In one transaction it also marks dead sessions; there are none.
func (r *replica) clean() (rows int64, err error) {
	result, err := r.db.Exec(`DELETE FROM room_server_assignments a WHERE NOT EXISTS (SELECT 1 FROM sessions s
		WHERE s.room_id = a.room_id AND s.removed_at IS NULL AND s.updated_at >= $1)`, time.Now().Add(-time.Hour))
	if err == nil {
		rows, err = result.RowsAffected()
	}
	return
}

// client is a user who opens rooms and joins those of others, until the night ends.
func (n *night) client(user int64) {
	defer n.background.Done()
	for {
		select {
		case <-n.stop:
			return
		default:
		}
		room, ok := n.known(rand.Int63n(50))
		if !ok || rand.Intn(3) == 0 {
			room = atomic.AddInt64(&n.next, 1)
		}
		n.mu.RLock()
		if len(n.running) == 0 {
			n.mu.RUnlock()
			time.Sleep(time.Millisecond)
			continue
		}
		r := n.running[rand.Intn(len(n.running))]
		r.calls.Add(1)
		phase := n.phase
		n.mu.RUnlock()
		late := n.moved.Load()
		server, err := r.answer(room)
		n.note(room, server, err)
		n.mutex.Lock()
		n.asked[phase]++
		if late && server == failed {
			n.afterMove = append(n.afterMove, fmt.Sprintf("room %d in phase %s", room, phase))
		}
		if err == nil && (n.where[room] == "" || n.where[room] == failed) {
			n.where[room] = server
		}
		n.mutex.Unlock()
		if err == nil {
			if err := r.join(user, room, server); err != nil {
				n.note(room, "", err)
			}
		}
		r.calls.Done()
	}
}

// enter begins a phase, and returns when its replicas have answered.
func (n *night) enter(phase string) {
	n.t.Helper()
	n.mu.Lock()
	n.phase = phase
	n.mu.Unlock()
	n.wait(300)
}

// check compares the table with the answers of rooms that were there when it began.
func (n *night) check(when string) {
	n.t.Helper()
	n.mutex.Lock()
	answered := make(map[int64]string, len(n.where))
	for room, server := range n.where {
		answered[room] = server
	}
	n.mutex.Unlock()
	rows, err := n.admin.Query("SELECT room_id, gateway_name FROM room_server_assignments")
	if err != nil {
		n.t.Fatal(err)
	}
	defer rows.Close()
	there := map[int64]string{}
	for rows.Next() {
		var room int64
		var server string
		if err := rows.Scan(&room, &server); err != nil {
			n.t.Fatal(err)
		}
		there[room] = server
	}
	if err := rows.Err(); err != nil {
		n.t.Fatal(err)
	}
	wrong := 0
	for room, server := range answered {
		if there[room] != server && server != failed {
			wrong++
			n.t.Logf("%s: room %d is on %q, and was answered %s", when, room, there[room], server)
		}
	}
	if wrong > 0 {
		n.t.Errorf("%s: %d of %d rooms are not where they were", when, wrong, len(answered))
	}
}

// The files of the service's migrations folder, with ours copied into it as the documentation says.
func (n *night) migrations() (up, down map[string]string, versions []string) {
	n.t.Helper()
	folder := n.t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "migrations"), 0o755); err != nil {
		n.t.Fatal(err)
	}
	text, err := os.ReadFile("../../doc/taking-over.md")
	if err != nil {
		n.t.Fatal(err)
	}
	copying := regexp.MustCompile("(?s)```sh\n(.*?/migrations/.*?)```").FindSubmatch(text)
	if copying == nil {
		n.t.Fatal("the documentation does not say how to copy the migrations")
	}
	command := exec.Command("bash", "-c", "cd ../.. && "+string(copying[1]))
	command.Env = append(os.Environ(), "SERVICE="+folder)
	if out, err := command.CombinedOutput(); err != nil {
		n.t.Fatalf("%v: %s", err, out)
	}
	up, down = map[string]string{}, map[string]string{}
	files, err := os.ReadDir(filepath.Join(folder, "migrations"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, file := range files {
		part := regexp.MustCompile(`^([0-9]{14})_(.*)\.(up|down)\.sql$`).FindStringSubmatch(file.Name())
		if part == nil {
			n.t.Fatalf("%s: not the name of a migration of the service", file.Name())
		}
		statements, err := os.ReadFile(filepath.Join(folder, "migrations", file.Name()))
		if err != nil {
			n.t.Fatal(err)
		}
		if part[3] == "up" {
			up[part[1]] = string(statements)
			versions = append(versions, part[1])
		} else {
			down[part[1]] = string(statements)
		}
	}
	sort.Strings(versions)
	if len(versions) != 4 || len(down) != 4 || versions[0] <= "20260309120000" {
		n.t.Fatalf("%d migrations, %d back, from %s on", len(versions), len(down), versions[0])
	}
	return up, down, versions
}

// The extension's cleanup, all the time; the worker does it once a minute. It ends with the returned function.
func (n *night) cleanUp() (end func()) {
	stop := make(chan struct{})
	n.background.Add(1)
	go func() {
		defer n.background.Done()
		for {
			select {
			case <-stop:
				return
			case <-n.stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			// In the moments around the migrations the function is not there.
			if _, err := n.admin.Exec("SELECT clean_inactive_assignments()"); err != nil && code(err) != "42883" {
				n.note(0, "", err)
			}
		}
	}()
	return func() { close(stop) }
}

// A server fails while old and new replicas run. Both hear of it, and the old ones do what they do then.
func (n *night) fail() {
	n.t.Helper()
	n.hear(true)
	n.mu.RLock()
	replicas := append([]*replica(nil), n.running...)
	n.mu.RUnlock()
	for _, r := range replicas {
		if r.new != nil {
			if err := r.new.ReportServer(context.Background(), failed, false); err != nil {
				n.t.Error(err)
			}
		}
	}
	n.until("the failover is due", "SELECT bool_or(due_at <= clock_timestamp()) FROM balancer_failovers WHERE from_server = 'gxy3'")
	for _, r := range replicas {
		if r.new == nil {
			_, err := r.db.Exec("UPDATE room_server_assignments SET gateway_name = $1, last_used_at = $2 WHERE gateway_name = $3",
				"gxy14", time.Now().UTC(), failed)
			n.refuse("failover", err)
		}
	}
	n.until("the rooms have moved", `SELECT NOT EXISTS (SELECT FROM room_server_assignments WHERE gateway_name = 'gxy3')
		AND bool_and(outcome = 'moved' AND to_server = 'gxy13') FROM balancer_failovers`)
	n.moved.Store(true)
	n.wait(100)
}

func (n *night) recover() {
	n.t.Helper()
	n.moved.Store(false)
	n.hear(false)
	mustRun(n.t, n.admin, "SELECT server_heartbeat('gxy3', true)")
}

func (n *night) until(what, query string) {
	n.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var done sql.NullBool
		if err := n.admin.QueryRow(query).Scan(&done); err != nil {
			n.t.Fatal(err)
		}
		if done.Bool {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("not yet: %s", what)
		}
	}
}

// newNight makes the database of a service in use.
func newNight(t *testing.T) *night {
	t.Helper()
	name := fmt.Sprintf("gxy_balancer_go_%d_night", os.Getpid())
	maintenance, err := sql.Open("postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, maintenance, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		mustRun(t, maintenance, "DROP DATABASE "+name+" WITH (FORCE)")
		maintenance.Close()
	})
	mustRun(t, maintenance, "ALTER DATABASE "+name+" SET gxy_balancer.failover_delay = '1s'")
	mustRun(t, maintenance, "ALTER DATABASE "+name+" SET gxy_balancer.dead_session_timeout = '1h'")
	if out, err := exec.Command("psql", "-Xqd", name, "-f", "../../examples/gxydb/schema.sql").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	admin, err := sql.Open("postgres", "dbname="+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	mustRun(t, admin, `CREATE UNIQUE INDEX ON sessions (user_id, gateway_id, gateway_session);
		INSERT INTO gateways (name, url) SELECT 'gxy' || i, 'https://gxy' || i FROM generate_series(1, 14) i;
		INSERT INTO users (accounts_id) SELECT 'user' || i FROM generate_series(1, 100) i;
		INSERT INTO rooms (name, default_gateway_id, gateway_uid) SELECT 'room', 1, i FROM generate_series(1, 50000) i`)
	mustRun(t, admin, oldTable+"; ALTER TABLE room_server_assignments OWNER TO gxydb_api")
	s := &service{t: t, admin: admin, answers: map[int64]map[string]bool{}, stop: make(chan struct{})}
	return &night{service: s, api: "dbname=" + name + " options='-c role=gxydb_api'",
		asked: map[string]int{}, refused: map[string]int{}, where: map[int64]string{}}
}

func TestRehearsal(t *testing.T) {
	n := newNight(t)
	up, down, versions := n.migrations()
	to := func(there map[string]string, numbers ...int) {
		t.Helper()
		for _, number := range numbers {
			began := time.Now()
			mustRun(t, n.admin, there[versions[number-1]])
			t.Logf("migration %d: %v", number, time.Since(began))
		}
	}
	for user := int64(1); user <= 6; user++ {
		n.background.Add(1)
		go n.client(user)
	}

	n.start(oldOnes, false)
	n.enter("old")
	n.check("before")

	to(up, 1, 2, 3, 4)
	n.check("taken over")
	endCleanUp := n.cleanUp()
	n.enter("old on the new table")
	n.start(2, true)
	n.enter("both")
	n.mu.RLock()
	for _, r := range n.running {
		if r.new == nil {
			_, err := r.clean()
			n.refuse("cleanup", err)
		}
	}
	n.mu.RUnlock()
	n.fail()
	n.check("after a failover")
	n.recover()

	n.halt(false)
	mustRun(t, n.admin, "REVOKE INSERT, UPDATE ON room_server_assignments FROM gxydb_api")
	n.enter("new")
	n.check("new replicas only")

	mustRun(t, n.admin, "GRANT INSERT, UPDATE (last_used_at) ON room_server_assignments TO gxydb_api")
	n.start(oldOnes, false)
	n.enter("both, on the way back")
	n.halt(true)
	endCleanUp()
	to(down, 4, 3, 2, 1)
	n.check("back")
	n.enter("old again")

	to(up, 1, 2, 3, 4)
	n.start(2, true)
	n.enter("both again")
	n.halt(false)
	n.enter("new again")
	n.check("at the end")

	close(n.stop)
	n.background.Wait()
	n.halt(true)
	n.judgeNight()
}

func (n *night) judgeNight() {
	t := n.t
	inFlight := 0
	for _, err := range n.failures {
		if code(err) == "0A000" {
			inFlight++
			continue
		}
		t.Errorf("a call failed: %v", err)
	}
	// Old replicas run at each change of the table.
	if most := changes * oldOnes * connections; inFlight > most {
		t.Errorf("%d calls in flight failed, more than %d", inFlight, most)
	}
	for _, late := range n.afterMove {
		t.Errorf("the failed server was answered after its rooms had moved: %s", late)
	}
	split := 0
	for room, servers := range n.answers {
		delete(servers, failed)
		if len(servers) > 1 {
			split++
			t.Logf("room %d: %v", room, servers)
		}
	}
	if split > 0 {
		t.Errorf("%d of %d rooms are split", split, len(n.answers))
	}
	var rooms int
	err := n.admin.QueryRow("SELECT count(*) FROM room_server_assignments").Scan(&rooms)
	if err != nil || rooms != len(n.answers) {
		t.Errorf("%d rooms were answered, %d are there (%v)", len(n.answers), rooms, err)
	}
	for what := range n.refused {
		if what != "failover 42501" && what != "cleanup 42501" && what != "move 42501" {
			t.Errorf("an old replica: %s", what)
		}
	}
	if n.refused["failover 42501"] != oldOnes || n.refused["cleanup 42501"] != oldOnes {
		t.Errorf("old failovers and cleanups: %v", n.refused)
	}
	t.Logf("%d rooms; calls by phase: %v; refused: %v; %d calls in flight failed", rooms, n.asked, n.refused, inFlight)
}
