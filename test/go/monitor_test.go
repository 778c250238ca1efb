package gxybalancer

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// janus is a server that answers as Janus does, or otherwise.
type janus struct {
	*httptest.Server
	mutex    sync.Mutex
	mode     string // "" as Janus, or see ServeHTTP
	sessions int
	polls    int // answered as Janus
	inside   int // requests that hang
}

// set changes how it answers from now on.
func (j *janus) set(mode string, sessions int) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.mode, j.sessions = mode, sessions
}

// wait returns when a count, polls or requests that hang, has reached a number.
func (j *janus) wait(t *testing.T, what *int, number int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		j.mutex.Lock()
		reached := *what >= number
		j.mutex.Unlock()
		if reached {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the monitor does not poll")
		}
	}
}

func (j *janus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mutex.Lock()
	mode, sessions := j.mode, j.sessions
	switch mode {
	case "hangs":
		j.inside++
	case "":
		j.polls++
	}
	j.mutex.Unlock()
	switch mode {
	case "hangs":
		io.Copy(io.Discard, r.Body) // only then the end of the connection ends the context
		<-r.Context().Done()
		return
	case "fails":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case "says garbage":
		fmt.Fprint(w, "<html>")
		return
	case "is another service":
		fmt.Fprint(w, `{"status": "ok"}`)
		return
	case "redirects":
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		return
	case "breaks off":
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"janus": "server_info",`)
		return
	case "is slow":
		time.Sleep(50 * time.Millisecond)
	}
	switch r.URL.Path {
	case "/janus/info":
		fmt.Fprintf(w, `{"janus": "server_info", "version": 1102, "accepting-new-sessions": %v}`, mode != "accepts none")
	case "/admin":
		var request struct{ Janus, Admin_secret, Plugin string }
		json.NewDecoder(r.Body).Decode(&request)
		switch {
		case mode == "has no admin API":
			w.WriteHeader(http.StatusNotFound)
		case request.Admin_secret != "secret":
			fmt.Fprint(w, `{"janus": "error", "error": {"code": 403, "reason": "Unauthorized request"}}`)
		case request.Janus == "list_sessions":
			ids := make([]int64, sessions)
			for i := range ids {
				ids[i] = 9007199254740993 + int64(i)
			}
			text, _ := json.Marshal(ids)
			fmt.Fprintf(w, `{"janus": "success", "sessions": %s}`, text)
		case request.Janus == "message_plugin" && request.Plugin == "janus.plugin.videoroom":
			fmt.Fprintf(w, `{"janus": "success", "response": {"videoroom": "success", "list": [
				{"room": "a", "num_participants": %d}, {"room": "b", "num_participants": 1}]}}`, sessions)
		default:
			fmt.Fprint(w, `{"janus": "error", "error": {"code": 457, "reason": "Unknown request"}}`)
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// watched is a database whose servers a, b and c are three of these.
type watched struct {
	name  string
	role  string
	db    *sql.DB
	janus map[string]*janus
	file  string
}

func watch(t *testing.T, what string) *watched {
	t.Helper()
	w := &watched{name: fmt.Sprintf("gxy_balancer_go_%d_%s", os.Getpid(), what), janus: map[string]*janus{}}
	w.role = w.name
	maintenance, err := sql.Open("postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, maintenance, "CREATE DATABASE "+w.name)
	mustRun(t, maintenance, "CREATE ROLE "+w.role+" LOGIN")
	t.Cleanup(func() {
		mustRun(t, maintenance, "DROP DATABASE "+w.name+" WITH (FORCE)")
		mustRun(t, maintenance, "DROP ROLE "+w.role)
		maintenance.Close()
	})
	if w.db, err = sql.Open("postgres", "dbname="+w.name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	mustRun(t, w.db, "CREATE EXTENSION gxy_balancer; SELECT init_servers('a,b,c')")
	// The rights that the monitor's first comment names.
	source, err := os.ReadFile("../../examples/go/cmd/monitor/main.go")
	if err != nil {
		t.Fatal(err)
	}
	grants := 0
	for _, line := range strings.Split(string(source), "\n") {
		if strings.HasPrefix(line, "//\tGRANT ") {
			mustRun(t, w.db, strings.Replace(strings.TrimPrefix(line, "//\t"), "TO monitor", "TO "+w.role, 1))
			grants++
		}
	}
	if grants != 2 {
		t.Fatalf("%d grants", grants)
	}
	lines := "# name url admin secret capacity\n\n"
	for _, name := range []string{"a", "b", "c"} {
		j := &janus{}
		j.Server = httptest.NewServer(j)
		t.Cleanup(j.Close)
		w.janus[name] = j
		lines += fmt.Sprintf("%s %s/janus %s/admin/ secret 100 # one\n", name, j.URL, j.URL)
	}
	w.file = filepath.Join(t.TempDir(), "servers")
	w.write(t, lines)
	return w
}

func (w *watched) write(t *testing.T, lines string) {
	t.Helper()
	if err := os.WriteFile(w.file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start starts the monitor with polls every 20 ms.
func (w *watched) start(t *testing.T, arguments ...string) *program {
	t.Helper()
	p := start(t, "monitor", append([]string{"-servers", w.file, "-interval", "20ms", "-timeout", "2s", "-failures", "2",
		"-db", "dbname=" + w.name + " user=" + w.role}, arguments...)...)
	p.expect(p.errs, "watching")
	return p
}

// expect returns when a server is reported so.
func (w *watched) expect(t *testing.T, server string, healthy bool, load interface{}) {
	t.Helper()
	waitUntil(t, w.db, `SELECT healthy = $2 AND load IS NOT DISTINCT FROM $3::float8::real FROM balancer_health WHERE server = $1`,
		server, healthy, load)
}

// TestMonitor: what goes wrong with a server is reported, and that it is back; what stays the same is not logged.
func TestMonitor(t *testing.T) {
	w := watch(t, "monitor")
	w.janus["a"].set("", 42)
	w.janus["b"].set("is slow", 7)
	p := w.start(t, "-timeout", "500ms")
	w.expect(t, "a", true, 0.42)
	w.expect(t, "b", true, 0.07)
	w.expect(t, "c", true, 0.0)
	p.expect(p.errs, "a: healthy")
	for mode, text := range map[string]string{
		"hangs":              "deadline exceeded",
		"fails":              "500 Internal Server Error",
		"says garbage":       "not a Janus answer",
		"is another service": "not a Janus answer",
		"redirects":          "302 Found",
		"breaks off":         "unexpected EOF",
		"accepts none":       "accepts no new sessions",
	} {
		w.janus["a"].set(mode, 42)
		if line := p.expect(p.errs, "a: unhealthy after 2 failed polls"); !strings.Contains(line, text) {
			t.Errorf("a server that %s: %s", mode, line)
		}
		p.expect(p.errs, "a is reported, and offline")
		w.expect(t, "a", false, 0.42)
		w.janus["a"].set("", 42)
		p.expect(p.errs, "a: healthy")
		p.expect(p.errs, "a is reported, and online")
	}
	w.janus["a"].CloseClientConnections()
	w.janus["a"].Close()
	if line := p.expect(p.errs, "a: unhealthy"); !strings.Contains(line, "connection refused") {
		t.Errorf("a server that is down: %s", line)
	}

	// A server that does not say how much it carries is healthy; the last load stays until it is too old.
	w.janus["c"].set("has no admin API", 1)
	p.expect(p.errs, "c: load unknown")
	w.expect(t, "c", true, 0.0)
	w.janus["c"].set("", 5000)
	p.expect(p.errs, "c: load known again")
	w.expect(t, "c", true, 10.0)
	polls := w.janus["c"].polls
	w.janus["c"].wait(t, &w.janus["c"].polls, polls+20)
	for len(p.errs) > 0 {
		if line := <-p.errs; strings.Contains(line, " b: ") || strings.Contains(line, " c: ") {
			t.Errorf("logged without news: %s", line)
		}
	}
}

// TestMonitorOneFailure: one failed poll is not reported.
func TestMonitorOneFailure(t *testing.T) {
	w := watch(t, "one_failure")
	w.start(t, "-failures", "1000000")
	w.expect(t, "a", true, 0.0)
	a := w.janus["a"]
	a.set("hangs", 0)
	a.wait(t, &a.inside, 1)
	a.CloseClientConnections()
	a.wait(t, &a.inside, 3)
	a.set("", 50)
	a.CloseClientConnections()
	w.expect(t, "a", true, 0.5)
	waitUntil(t, w.db, "SELECT recovered_at IS NULL FROM balancer_health WHERE server = 'a'")
}

// TestMonitorSlowServer: while a server hangs, for as long as the test takes, the others are polled and reported.
func TestMonitorSlowServer(t *testing.T) {
	w := watch(t, "slow")
	p := w.start(t, "-timeout", "1h")
	w.expect(t, "a", true, 0.0)
	w.janus["a"].set("hangs", 0)
	w.janus["a"].wait(t, &w.janus["a"].inside, 1)
	for sessions := 10; sessions <= 20; sessions += 10 {
		for _, name := range []string{"b", "c"} {
			w.janus[name].set("", sessions)
			w.expect(t, name, true, float64(sessions)/100)
		}
	}
	w.janus["b"].set("fails", 0)
	p.expect(p.errs, "b is reported, and offline")
	if w.janus["a"].inside != 1 {
		t.Errorf("%d polls hang", w.janus["a"].inside)
	}
	w.janus["a"].CloseClientConnections()
}

// TestMonitorParticipants: the other measure, and a wrong secret.
func TestMonitorParticipants(t *testing.T) {
	w := watch(t, "participants")
	w.janus["a"].set("", 60)
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	// c has no admin API at all.
	lines := strings.Split(string(text), "\n")
	c := strings.Fields(lines[4])
	lines[2] = strings.Replace(lines[2], "http://", "http://u:topsecret@", 1)
	lines[3] = strings.Replace(lines[3], " secret ", " wrong ", 1)
	lines[4] = strings.Join([]string{c[0], c[1], "-", "-", c[4]}, "\t")
	w.write(t, strings.Join(lines, "\n"))
	p := w.start(t, "-measure", "participants")
	if line := p.expect(p.errs, "b: load unknown"); !strings.Contains(line, "Unauthorized request") {
		t.Error(line)
	}
	w.expect(t, "a", true, 0.61)
	w.expect(t, "b", true, nil)
	w.expect(t, "c", true, nil)

	// What cannot be a number of participants says nothing of the server's health.
	w.janus["a"].set("", -5)
	p.expect(p.errs, "a: load unknown: list: a room with -5 participants")
	w.janus["a"].set("", 60)
	p.expect(p.errs, "a: load known again")
	for mode, text := range map[string]string{"fails": "500 Internal Server Error", "says garbage": "not a Janus answer"} {
		w.janus["a"].set(mode, 0)
		if line := p.expect(p.errs, "a: unhealthy"); !strings.Contains(line, text) || strings.Contains(line, "topsecret") {
			t.Errorf("a password in a URL, and a server that %s: %s", mode, line)
		}
		w.janus["a"].set("", 60)
		p.expect(p.errs, "a: healthy")
	}
}

// TestMonitorDatabase: it survives an outage of the database, and reports what has changed meanwhile.
func TestMonitorDatabase(t *testing.T) {
	w := watch(t, "database")
	p := w.start(t)
	w.expect(t, "a", true, 0.0)
	maintenance, err := sql.Open("postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	defer maintenance.Close()
	mustRun(t, maintenance, "ALTER DATABASE "+w.name+" ALLOW_CONNECTIONS false")
	mustRun(t, maintenance, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '"+w.name+
		"' AND usename = '"+w.role+"'")
	p.expect(p.errs, "the database takes no reports")
	w.janus["a"].set("fails", 0)
	w.janus["b"].set("", 33)
	p.expect(p.errs, "a: unhealthy")
	polls := w.janus["b"].polls
	w.janus["b"].wait(t, &w.janus["b"].polls, polls+5)
	mustRun(t, maintenance, "ALTER DATABASE "+w.name+" ALLOW_CONNECTIONS true")
	p.expect(p.errs, "the database takes reports again")
	w.expect(t, "a", false, 0.0)
	w.expect(t, "b", true, 0.33)
}

// TestMonitorPrimary: of two database servers it uses the one that is not a standby, also after they have changed places.
// Here each is a user whose sessions find a pg_is_in_recovery() and a read-only default of their own.
func TestMonitorPrimary(t *testing.T) {
	w := watch(t, "primary")
	mustRun(t, w.db, `CREATE SCHEMA one; CREATE SCHEMA two; GRANT USAGE ON SCHEMA one, two TO `+w.role+`;
		CREATE FUNCTION one.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION two.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT false'`)
	url := func(name string) string {
		return fmt.Sprintf("dbname=%s user=%s application_name=%s search_path=%s,pg_catalog,public", w.name, w.role, name, name)
	}
	p := start(t, "monitor", "-servers", w.file, "-interval", "20ms", "-db", url("one"), "-db", url("two"))
	w.expect(t, "a", true, 0.0)
	used := "SELECT coalesce(bool_and(application_name = $1), false) FROM pg_stat_activity WHERE usename = $2 AND query LIKE '%server_heartbeat%'"
	waitUntil(t, w.db, used, "two", w.role)
	// They change places: the sessions on the old primary become read-only.
	mustRun(t, w.db, `CREATE OR REPLACE FUNCTION one.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT false';
		CREATE OR REPLACE FUNCTION two.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'`)
	mustRun(t, w.db, "ALTER ROLE "+w.role+" SET default_transaction_read_only = on")
	mustRun(t, w.db, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = '"+w.role+"'")
	p.expect(p.errs, "the database takes no reports")
	mustRun(t, w.db, "ALTER ROLE "+w.role+" RESET default_transaction_read_only")
	p.expect(p.errs, "the database takes reports again")
	w.janus["a"].set("", 12)
	w.expect(t, "a", true, 0.12)
	waitUntil(t, w.db, used, "one", w.role)
}

// TestMonitorVanished: a database server that vanishes without a word, as when its machine loses power, holds up the
// monitor for some seconds, and not until the kernel gives up.
func TestMonitorVanished(t *testing.T) {
	w := watch(t, "vanished")
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var vanished int32
	var connections sync.WaitGroup
	stop := make(chan struct{})
	forward := func(from, to net.Conn) {
		defer connections.Done()
		defer to.Close()
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			if atomic.LoadInt32(&vanished) != 0 {
				<-stop
				return
			}
			to.Write(buffer[:n])
		}
	}
	go func() {
		for {
			client, err := proxy.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", os.Getenv("PGHOST")+"/.s.PGSQL."+os.Getenv("PGPORT"))
			if err != nil {
				t.Error(err)
				return
			}
			connections.Add(2)
			go forward(client, server)
			go forward(server, client)
		}
	}()
	t.Cleanup(func() {
		proxy.Close()
		close(stop)
		connections.Wait()
	})
	address := proxy.Addr().(*net.TCPAddr)
	p := start(t, "monitor", "-servers", w.file, "-interval", "20ms",
		"-db", fmt.Sprintf("host=127.0.0.1 port=%d sslmode=disable dbname=%s user=%s", address.Port, w.name, w.role),
		"-db", fmt.Sprintf("dbname=%s user=%s", w.name, w.role))
	w.expect(t, "a", true, 0.0)
	atomic.StoreInt32(&vanished, 1)
	p.expect(p.errs, "the database takes no reports")
	w.janus["a"].set("", 12)
	p.expect(p.errs, "the database takes reports again")
	w.expect(t, "a", true, 0.12)
}

// TestMonitorPool: a server that is not in the pool is logged once, and reported when it is added.
func TestMonitorPool(t *testing.T) {
	w := watch(t, "pool")
	mustRun(t, w.db, "DELETE FROM balancer_servers WHERE name = 'c'")
	p := w.start(t)
	p.expect(p.errs, "c is not in the pool")
	mustRun(t, w.db, "INSERT INTO balancer_servers (name) VALUES ('c')")
	p.expect(p.errs, "c is reported, and online")
	w.expect(t, "c", true, 0.0)
}

// TestMonitorFile: a file that it does not understand ends it, with the line.
func TestMonitorFile(t *testing.T) {
	w := watch(t, "file")
	for lines, complaint := range map[string]string{
		"":                        "no servers",
		"# a\n":                   "no servers",
		"a http://x - - 1\na b c": "line 2: not NAME",
		"a http://x - - none":     "line 1: the capacity none",
		"a http://x - - 0":        "line 1: the capacity 0",
		"a http://x - - 1\n" + "a http://y - - 1": "line 2: a is there twice",
	} {
		w.write(t, lines)
		out, err := execute(t, "monitor", "-servers", w.file)
		if err == nil || !strings.Contains(out, complaint) {
			t.Errorf("%q: %v: %s", lines, err, out)
		}
	}
}
