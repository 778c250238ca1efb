package gxybalancer

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// told is a line of the bridge.
type told struct {
	Room        string
	ReconnectTo string `json:"reconnect_to"`
}

// startBridge builds examples/bridge and runs it on a database. Returns its lines, when it listens.
func startBridge(t *testing.T, name string) <-chan told {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bridge")
	if out, err := exec.Command("go", "build", "-o", binary, "../../examples/bridge").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	bridge := exec.Command(binary)
	bridge.Env = append(os.Environ(), "PGDATABASE="+name)
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
	complaints := bufio.NewScanner(log)
	complaints.Scan() // "listening"
	go func() {
		for complaints.Scan() {
			fmt.Println("bridge:", complaints.Text())
		}
	}()
	lines := make(chan told, 10000)
	go func() {
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			var line told
			if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
				t.Errorf("%s: %v", scanner.Text(), err)
			}
			lines <- line
		}
	}()
	return lines
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
	name := fmt.Sprintf("gxy_balancer_go_%d_bridge", os.Getpid())
	maintenance, err := sql.Open("postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, maintenance, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		mustRun(t, maintenance, "DROP DATABASE "+name+" WITH (FORCE)")
		maintenance.Close()
	})
	db, err := sql.Open("postgres", "dbname="+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	mustRun(t, db, `CREATE EXTENSION gxy_balancer; SET gxy_balancer.failover_delay = 0; SELECT init_servers('a,b,c,d');
		INSERT INTO balancer_servers (name, pool) VALUES ('s', 'standby');
		INSERT INTO room_server_assignments (room_id, gateway_name)
		SELECT server || ' "' || i || '" \', server FROM unnest('{a,b,c}'::text[]) server, generate_series(1, 1500) i`)
	lines := startBridge(t, name)
	where := "SELECT room_id, gateway_name FROM room_server_assignments WHERE reason = '%s'"

	mustRun(t, db, `SELECT move_room('a "7" \', 'd')`)
	expect(t, db, lines, "a move", fmt.Sprintf(where, "moved from a"), false)
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
	mustRun(t, db, "SELECT evacuate_server('c', 'd', 10)")
	mustRun(t, maintenance, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	expect(t, db, lines, "a lost connection", fmt.Sprintf(where, "evacuated from c"), true)
}
