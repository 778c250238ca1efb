package gxybalancer

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// told is a line of the bridge.
type told struct {
	Room        string
	ReconnectTo string `json:"reconnect_to"`
}

// startBridge builds examples/go/cmd/bridge and runs it on a database as a role. Returns its lines and its log, when it has
// logged something: that it listens, or why it does not.
func startBridge(t *testing.T, name, role string, arguments ...string) (<-chan told, <-chan string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bridge")
	if out, err := exec.Command("go", "build", "-o", binary, "example.org/gxy_balancer/cmd/bridge").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	bridge := exec.Command(binary, arguments...)
	bridge.Env = append(os.Environ(), "PGDATABASE="+name, "PGUSER="+role)
	out, err := bridge.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := bridge.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bridge.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		bridge.Process.Kill()
		bridge.Wait()
	})
	complaints := make(chan string, 10000)
	scanner := bufio.NewScanner(log)
	scanner.Scan()
	complaints <- scanner.Text()
	go func() {
		for scanner.Scan() {
			fmt.Println("bridge:", scanner.Text())
			complaints <- scanner.Text()
		}
	}()
	lines := make(chan told, 10000)
	go func() {
		for reader := bufio.NewReader(out); ; {
			text, err := reader.ReadString('\n')
			if err != nil {
				return // what has no end was being written when the bridge was killed
			}
			var line told
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			lines <- line
		}
	}()
	return lines, complaints
}

// expectComplaint reads the bridge's log until it has a text.
func expectComplaint(t *testing.T, complaints <-chan string, text string) {
	t.Helper()
	for late := time.After(time.Minute); ; {
		select {
		case line := <-complaints:
			if strings.Contains(line, text) {
				return
			}
		case <-late:
			t.Fatalf("the bridge has not logged %q", text)
		}
	}
}

// bridgeDatabase creates a database with the extension and a role that may what the bridge's first comment says.
func bridgeDatabase(t *testing.T, what string) (name, role string, maintenance, db *sql.DB) {
	t.Helper()
	name = fmt.Sprintf("gxy_balancer_go_%d_%s", os.Getpid(), what)
	role = name
	source, err := os.ReadFile("../../examples/go/cmd/bridge/main.go")
	if err != nil {
		t.Fatal(err)
	}
	grants := regexp.MustCompile(`(?m)^//\tGRANT .* TO bridge;$`).FindAllString(string(source), -1)
	if len(grants) != 3 {
		t.Fatalf("the grants are %q", grants)
	}
	if maintenance, err = sql.Open("postgres", ""); err != nil {
		t.Fatal(err)
	}
	mustRun(t, maintenance, "CREATE DATABASE "+name)
	mustRun(t, maintenance, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() {
		mustRun(t, maintenance, "DROP DATABASE "+name+" WITH (FORCE)")
		mustRun(t, maintenance, "DROP ROLE "+role)
		maintenance.Close()
	})
	if db, err = sql.Open("postgres", "dbname="+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	mustRun(t, db, "CREATE EXTENSION gxy_balancer; SELECT init_servers('a,b,c,d')")
	for _, grant := range grants {
		mustRun(t, db, strings.Replace(strings.TrimPrefix(grant, "//\t"), "TO bridge;", "TO "+role, 1))
	}
	return name, role, maintenance, db
}

// expect reads the bridge's lines until those of the rooms that the query gives (room, server) have come. Each must come
// once; if twice is allowed, at least once.
func expect(t *testing.T, db *sql.DB, lines <-chan told, what, query string, twice bool) {
	t.Helper()
	want := map[told]int{}
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var line told
		if err := rows.Scan(&line.Room, &line.ReconnectTo); err != nil {
			t.Fatal(err)
		}
		want[line] = 0
	}
	if len(want) == 0 {
		t.Fatalf("%s: no room has moved", what)
	}
	for missing := len(want); missing > 0; {
		select {
		case line := <-lines:
			times, known := want[line]
			if !known && !twice {
				t.Fatalf("%s: %v is not where the table has it", what, line)
			}
			if times > 0 && !twice {
				t.Fatalf("%s: %v came twice", what, line)
			}
			if known && times == 0 {
				missing--
			}
			want[line]++
		case <-time.After(time.Minute):
			t.Fatalf("%s: %d of %d rooms have not come", what, missing, len(want))
		}
	}
}

// TestBridge: what moves, is evacuated, fails, or moves while the bridge has no connection, reaches the clients.
func TestBridge(t *testing.T) {
	name, role, maintenance, db := bridgeDatabase(t, "bridge")
	mustRun(t, db, `SET gxy_balancer.failover_delay = 0;
		INSERT INTO balancer_servers (name, pool) VALUES ('s', 'standby');
		INSERT INTO room_server_assignments (room_id, gateway_name)
		SELECT server || ' "' || i || '" \', server FROM unnest('{a,b,c}'::text[]) server, generate_series(1, 1500) i`)
	lines, complaints := startBridge(t, name, role)
	expectComplaint(t, complaints, "listening")
	where := "SELECT room_id, gateway_name FROM room_server_assignments WHERE reason = '%s'"

	mustRun(t, db, `SELECT move_room('a "7" \', 'd')`)
	expect(t, db, lines, "a move", fmt.Sprintf(where, "moved from a"), false)
	// A forged event: of its rooms, one has not moved and one is not assigned. Clients are told where the first one is.
	forged := `SET ROLE ` + role + `; SELECT pg_notify('gxy_balancer',
		'{"event": "rooms_moved", "server": "a", "target": "evil", "rooms": ["a \"7\" \\", "none"]}'); RESET ROLE`
	mustRun(t, db, forged)
	expect(t, db, lines, "a forged event", fmt.Sprintf(where, "moved from a"), false)
	mustRun(t, db, "SELECT evacuate_server('a')")
	expect(t, db, lines, "an evacuation", fmt.Sprintf(where, "evacuated from a"), false)
	mustRun(t, db, "SELECT set_server_state('a', 'online'); SELECT set_server_state('b', 'offline')")
	// The worker moves them, all that were on b.
	moved := "SELECT room_id, 's' FROM room_server_assignments WHERE gateway_name = 'b' OR reason = 'failover from b'"
	expect(t, db, lines, "a failover", moved, false)

	// What moves while the bridge cannot connect.
	mustRun(t, maintenance, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
	mustRun(t, db, `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	expectComplaint(t, complaints, "not currently accepting connections")
	mustRun(t, db, "SELECT evacuate_server('c', 'd', 10)")
	mustRun(t, maintenance, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	expect(t, db, lines, "a lost connection", fmt.Sprintf(where, "evacuated from c"), true)
}

// TestBridgeRights: it says at the start that it may not read what it will need, rather than after a connection was lost.
func TestBridgeRights(t *testing.T) {
	for what, right := range map[string]string{"select": "SELECT ON room_server_assignments", "execute": "EXECUTE ON FUNCTION room_server(text)"} {
		t.Run(what, func(t *testing.T) {
			name, role, _, db := bridgeDatabase(t, what)
			mustRun(t, db, "REVOKE "+right+" FROM "+role)
			_, complaints := startBridge(t, name, role)
			expectComplaint(t, complaints, "permission denied")
		})
	}
}

// TestBridgeArguments: it says how it is used, and does not start with arguments that it does not know.
func TestBridgeArguments(t *testing.T) {
	for _, list := range []string{"-h", "-database x", "gxydb", "dbname=gxydb", "http://localhost/ http://localhost/"} {
		out, _ := execute(t, "bridge", strings.Fields(list)...)
		if !strings.Contains(out, "usage: bridge") || !strings.Contains(out, "-db") {
			t.Errorf("%s: %s", list, out)
		}
	}
}

// TestBridgePosts: a POST that fails, or is not answered, is repeated; one that is refused is not.
func TestBridgePosts(t *testing.T) {
	name, role, _, db := bridgeDatabase(t, "posts")
	mustRun(t, db, `INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ('1', 'a'), ('2', 'a'), ('3', 'a')`)
	posts := make(chan string, 100)
	tries := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var line told
		if err := json.NewDecoder(r.Body).Decode(&line); err != nil {
			t.Error(err)
		}
		tries[line.Room]++
		posts <- fmt.Sprint(line.Room, " on ", line.ReconnectTo)
		switch {
		case line.Room == "1" && tries["1"] == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case line.Room == "1" && tries["1"] == 2:
			<-r.Context().Done() // until the bridge gives up
		case line.Room == "2":
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	_, complaints := startBridge(t, "postgres", "nobody", "-db", "dbname="+name+" user="+role, server.URL)
	expectComplaint(t, complaints, "listening")
	mustRun(t, db, "SELECT move_room(1, 'b'); SELECT move_room(2, 'c'); SELECT move_room(3, 'd')")
	for _, want := range []string{"1 on b", "1 on b", "1 on b", "2 on c", "3 on d"} {
		select {
		case post := <-posts:
			if post != want {
				t.Fatalf("%s was posted, not %s", post, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s was not posted", want)
		}
	}
	expectComplaint(t, complaints, "404 Not Found")
}
