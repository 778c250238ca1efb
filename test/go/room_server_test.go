package gxybalancer

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// gxydb is a database with the sample service's tables and views, a few rooms, and a login of the API.
func gxydb(t *testing.T, what string) (name string, db *sql.DB) {
	t.Helper()
	name = fmt.Sprintf("gxy_balancer_go_%d_%s", os.Getpid(), what)
	maintenance, err := sql.Open("postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, maintenance, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		mustRun(t, maintenance, "DROP DATABASE "+name+" WITH (FORCE)")
		mustRun(t, maintenance, "DROP ROLE IF EXISTS "+name)
		maintenance.Close()
	})
	if db, err = sql.Open("postgres", "dbname="+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	psql := func(file string) {
		out, err := exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", name, "-f", "../../examples/gxydb/"+file).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", file, err, out)
		}
	}
	psql("schema.sql")
	mustRun(t, db, `CREATE EXTENSION gxy_balancer; SELECT init_servers('gxy1,gxy2,gxy3,gxy4')`)
	psql("views.sql")
	mustRun(t, db, `CREATE ROLE `+name+` LOGIN IN ROLE gxydb_api;
		UPDATE balancer_servers SET regions = '{IL}' WHERE name = 'gxy3';
		UPDATE balancer_servers SET regions = '{EU}' WHERE name = 'gxy4';
		INSERT INTO gateways (name, url) SELECT name, 'https://' || name || '.example.org/janus' FROM balancer_servers;
		INSERT INTO rooms (name, gateway_uid, default_gateway_id, disabled) SELECT 'Room ' || i, i, 1, i = 300 FROM generate_series(1, 300) i;
		INSERT INTO users (accounts_id) SELECT 'user' || i FROM generate_series(1, 3) i`)
	return name, db
}

// startRoomServer starts cmd/room-server as the API's role, and returns its URL.
func startRoomServer(t *testing.T, name string, arguments ...string) (string, *program) {
	t.Helper()
	p := start(t, "room-server", append([]string{"-listen", "127.0.0.1:0", "-db", "dbname=" + name + " user=" + name,
		"-regions", "IL=IL,DE=EU+IL,GB=EU"}, arguments...)...)
	return strings.TrimPrefix(p.expect(p.out, "listening on "), "listening on "), p
}

type reply struct {
	Status        int
	Retry         string
	Janus, Result string
	Error         string
}

// send sends a request, and returns its answer.
func send(t *testing.T, method, url, body string) (r reply) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Timeout: patience}).Do(request)
	if err != nil {
		t.Error(err)
		return r
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&r); err != nil {
		t.Errorf("%s %s: %v", method, url, err)
	}
	r.Status, r.Retry = response.StatusCode, response.Header.Get("Retry-After")
	return r
}

// TestRoomServer: the endpoint's answers.
func TestRoomServer(t *testing.T) {
	name, db := gxydb(t, "room_server")
	url, _ := startRoomServer(t, name)
	post := func(body string) reply { return send(t, "POST", url+"/v2/room_server", body) }
	for _, c := range []struct {
		what, body string
		status     int
		janus      string
	}{
		{"a country with a region", `{"room": "1", "geo": {"country_code": "IL"}}`, 200, "gxy3"},
		{"the same room from elsewhere", `{"room": "1", "geo": {"country_code": "GB"}}`, 200, "gxy3"},
		{"a room as a number", `{"room": 1}`, 200, "gxy3"},
		{"small letters", `{"room": "2", "geo": {"country_code": "gb"}}`, 200, "gxy4"},
		{"several regions", `{"room": "3", "geo": {"country_code": "DE"}}`, 200, "gxy4"},
		{"a country without a region", `{"room": "4", "geo": {"country_code": "BR"}}`, 200, "gxy1"},
		{"no country", `{"room": "5"}`, 200, "gxy2"},
		{"no country, either", `{"room": "6", "geo": null}`, 200, "gxy1"},
		{"an unknown room", `{"room": "301"}`, 404, ""},
		{"a disabled room", `{"room": "300"}`, 404, ""},
		{"an empty room", `{"room": ""}`, 400, ""},
		{"no room", `{}`, 400, ""},
		{"half a room", `{"room": 1.5}`, 400, ""},
		{"a list", `{"room": [1]}`, 400, ""},
		{"no JSON", `room=1`, 400, ""},
		{"a zero byte", `{"room": "\u0000"}`, 400, ""},
	} {
		if r := post(c.body); r.Status != c.status || r.Janus != c.janus || (r.Error == "") != (c.status == 200) {
			t.Errorf("%s: %+v, not %d %q", c.what, r, c.status, c.janus)
		}
	}
	if r := send(t, "GET", url+"/v2/room_server", ""); r.Status != 405 {
		t.Errorf("GET: %+v", r)
	}
	if r := send(t, "GET", url+"/v2", ""); r.Status != 404 {
		t.Errorf("another page: %+v", r)
	}

	mustRun(t, db, "UPDATE balancer_servers SET pool = 'reserved'")
	if r := post(`{"room": "7"}`); r.Status != 503 || r.Retry == "" {
		t.Errorf("no server: %+v", r)
	}
	if r := post(`{"room": "1"}`); r.Status != 200 || r.Janus != "gxy3" {
		t.Errorf("a room that has one: %+v", r)
	}
	mustRun(t, db, "UPDATE balancer_servers SET pool = DEFAULT; DROP VIEW assignable_rooms")
	if r := post(`{"room": "8"}`); r.Status != 500 || strings.Contains(r.Error, "assignable_rooms") {
		t.Errorf("no rooms to read: %+v", r)
	}
}

// TestRoomServerAtOnce: 150 rooms, each asked for by three clients at once, have one server each.
func TestRoomServerAtOnce(t *testing.T) {
	name, db := gxydb(t, "at_once")
	mustRun(t, db, "UPDATE balancer_servers SET regions = NULL")
	url, _ := startRoomServer(t, name)
	const rooms, clients = 150, 3
	answers := make([][clients]string, rooms)
	var all sync.WaitGroup
	slots := make(chan struct{}, 30)
	for i := 0; i < rooms*clients; i++ {
		all.Add(1)
		go func(room, client int) {
			defer all.Done()
			slots <- struct{}{}
			answers[room][client] = send(t, "POST", url+"/v2/room_server", fmt.Sprintf(`{"room": "%d"}`, room+1)).Janus
			<-slots
		}(i/clients, i%clients)
	}
	all.Wait()
	for room, servers := range answers {
		for _, server := range servers {
			if server == "" || server != servers[0] {
				t.Errorf("room %d: %v", room+1, servers)
			}
		}
	}
	waitUntil(t, db, "SELECT max(rooms) - min(rooms) <= 1 AND sum(rooms) = $1 FROM balancer_load", rooms)
}

// TestRoomServerWaits: a request that would wait for too long is answered 503, and leaves no call in the server.
func TestRoomServerWaits(t *testing.T) {
	name, db := gxydb(t, "waits")
	mustRun(t, db, "ALTER DATABASE "+name+" SET gxy_balancer.assign_timeout = '1h'")
	url, p := startRoomServer(t, name, "-timeout", "100ms")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	mustAsk(t, tx, "SELECT get_or_assign_server('1')")
	if r := send(t, "POST", url+"/v2/room_server", `{"room": "1"}`); r.Status != 503 || r.Retry == "" {
		t.Errorf("%+v", r)
	}
	p.expect(p.errs, "POST /v2/room_server")
	waitUntil(t, db, "SELECT NOT EXISTS (SELECT "+waiting+")")
}

// TestRoomServerOutage: while the database takes no connections the answer is 503, and afterwards all is as before.
func TestRoomServerOutage(t *testing.T) {
	name, db := gxydb(t, "outage")
	url, p := startRoomServer(t, name, "-timeout", "200ms")
	if r := send(t, "GET", url+"/health_check", ""); r.Status != 200 || r.Result != "success" {
		t.Errorf("%+v", r)
	}
	first := send(t, "POST", url+"/v2/room_server", `{"room": "1"}`)
	maintenance, err := sql.Open("postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	defer maintenance.Close()
	db.Close()
	mustRun(t, maintenance, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
	mustRun(t, maintenance, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '"+name+"'")
	if r := send(t, "GET", url+"/health", ""); r.Status != 503 || r.Error != "the database does not answer" {
		t.Errorf("%+v", r)
	}
	p.expect(p.errs, "not currently accepting connections") // for the log only
	if r := send(t, "POST", url+"/v2/room_server", `{"room": "1"}`); r.Status != 503 || r.Retry == "" {
		t.Errorf("%+v", r)
	}
	mustRun(t, maintenance, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	if r := send(t, "POST", url+"/v2/room_server", `{"room": "1"}`); r.Status != 200 || r.Janus != first.Janus {
		t.Errorf("%+v, not %+v", r, first)
	}
	// An idle connection that was lost is not taken for the database.
	mustRun(t, maintenance, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '"+name+"'")
	if r := send(t, "GET", url+"/health_check", ""); r.Status != 200 {
		t.Errorf("%+v", r)
	}
}

// TestConnectionString: programs that cannot read their connection string do not print its password.
func TestConnectionString(t *testing.T) {
	file := filepath.Join(t.TempDir(), "servers.txt")
	if err := os.WriteFile(file, []byte("a http://x - - 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	programs := map[string][]string{"room-server": {"-listen", "127.0.0.1:0"}, "monitor": {"-servers", file}, "bridge": nil}
	for name, arguments := range programs {
		for _, url := range []string{"postgres://api:s3cr%zzet@localhost/x", "postgres://api:s3cr/et@localhost/x",
			"host=localhost password=a s3cr"} {
			out, err := execute(t, name, append([]string{"-db", url}, arguments...)...)
			if err == nil || strings.Contains(out, "s3cr") || !strings.Contains(out, "connection string") {
				t.Errorf("%s, %s: %v: %s", name, url, err, out)
			}
		}
	}
}

// TestKeepAlive: sessions are noted, renewed, ended by the next one on another server, and told where the room is.
func TestKeepAlive(t *testing.T) {
	name, db := gxydb(t, "keep_alive")
	url, _ := startRoomServer(t, name)
	server := send(t, "POST", url+"/v2/room_server", `{"room": "1", "geo": {"country_code": "IL"}}`).Janus
	put := func(user, room, janus string, session int) reply {
		return send(t, "PUT", url+"/users/"+user, fmt.Sprintf(
			`{"id": %q, "room": %q, "janus": %q, "session": %d, "handle": 5, "rfid": "feed", "display": "A"}`, user, room, janus, session))
	}
	for i := 0; i < 2; i++ {
		if r := put("user1", "1", server, 17); r.Status != 200 || r.Result != "success" || r.Janus != server {
			t.Errorf("%+v", r)
		}
	}
	waitUntil(t, db, `SELECT count(*) = 1 AND bool_and(room_id = '1' AND gateway_session = 17 AND gateway_handle = 5
		AND gateway_feed = 'feed' AND display = 'A' AND updated_at > now() - interval '1 minute') FROM sessions`)
	waitUntil(t, db, "SELECT connected = 1 AND users = 1 FROM balancer_load WHERE server = $1", server)

	// An old session is renewed.
	mustRun(t, db, "UPDATE sessions SET updated_at = now() - interval '1 hour'")
	put("user1", "1", server, 17)
	waitUntil(t, db, "SELECT updated_at > now() - interval '1 minute' FROM sessions")

	// The room moves. The session says so, and ends when the user is on the other server.
	mustRun(t, db, "SELECT move_room('1', 'gxy2')")
	if r := put("user1", "1", server, 17); r.Status != 200 || r.Janus != "gxy2" {
		t.Errorf("after a move: %+v", r)
	}
	if r := put("user1", "1", "gxy2", 3); r.Status != 200 || r.Janus != "gxy2" {
		t.Errorf("on the other server: %+v", r)
	}
	put("user2", "1", "gxy2", 4)
	waitUntil(t, db, `SELECT array_agg(gateway_session ORDER BY id) FILTER (WHERE removed_at IS NULL) = '{3,4}'
		AND array_agg(gateway_session) FILTER (WHERE removed_at IS NOT NULL) = '{17}' FROM sessions`)

	if r := put("user9", "1", "gxy2", 3); r.Status != 404 {
		t.Errorf("an unknown user: %+v", r)
	}
	if r := put("user1", "301", "gxy2", 3); r.Status != 400 {
		t.Errorf("an unknown room: %+v", r)
	}
	if r := put("user1", "1", "gxy9", 3); r.Status != 400 {
		t.Errorf("an unknown server: %+v", r)
	}
	if r := send(t, "DELETE", url+"/users/user1", ""); r.Status != 200 {
		t.Errorf("%+v", r)
	}
	waitUntil(t, db, "SELECT array_agg(gateway_session) = '{4}' FROM sessions WHERE removed_at IS NULL")
}
