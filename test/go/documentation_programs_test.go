package gxybalancer

import (
	"context"
	"database/sql"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.org/gxy_balancer/balancer"
)

// shellBlocks returns the blocks of doc/clients.md that are for a shell.
func shellBlocks(t *testing.T) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../doc/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, match[1])
	}
	if len(blocks) != 4 {
		t.Fatalf("%d blocks", len(blocks))
	}
	return blocks
}

// copyFolder copies the files of a folder.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDocumentedBuild: examples/go builds as a module, by the documented command. lib/pq is Debian's here, as a vendored
// copy, because tests run without a network.
func TestDocumentedBuild(t *testing.T) {
	if out, err := exec.Command("gofmt", "-l", "../../examples/go").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("not formatted: %s (%v)", out, err)
	}
	folder := t.TempDir()
	module := filepath.Join(folder, "examples/go")
	copyFolder(t, "../../examples/go", module)
	gopath := filepath.SplitList(os.Getenv("GOPATH"))
	copyFolder(t, filepath.Join(gopath[len(gopath)-1], "src/github.com/lib/pq"), filepath.Join(module, "vendor/github.com/lib/pq"))
	requirement, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`github.com/lib/pq v\S+`).FindString(string(requirement))
	modules := "# " + version + "\n## explicit; go 1.13\ngithub.com/lib/pq\ngithub.com/lib/pq/oid\ngithub.com/lib/pq/scram\n"
	if err := os.WriteFile(filepath.Join(module, "vendor/modules.txt"), []byte(modules), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("bash", "-e", "-c", shellBlocks(t)[0])
	command.Dir = folder
	command.Env = append(os.Environ(), "GO111MODULE=on", "GOFLAGS=-mod=vendor", "GOPROXY=off", "GOPATH="+folder, "GOTOOLCHAIN=local")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, program := range []string{"bridge", "monitor", "room-server"} {
		if _, err := os.Stat(filepath.Join(module, "bin", program)); err != nil {
			t.Error(err)
		}
	}
}

// arguments returns the arguments of a program in a documented command, with some replaced.
func arguments(t *testing.T, block, program string, replace ...string) []string {
	t.Helper()
	out, err := exec.Command("bash", "-c", "bin() { printf '%s\\n' \"$@\"; }; "+
		strings.Replace(strings.NewReplacer(replace...).Replace(block), "bin/"+program, "bin", 1)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestDocumentedPrograms: the commands that start the programs, and the request, do what the page says.
func TestDocumentedPrograms(t *testing.T) {
	blocks := shellBlocks(t)
	name, db := gxydb(t, "documented")
	mustRun(t, db, "UPDATE rooms SET gateway_uid = '2171' WHERE gateway_uid = '217'; "+
		"GRANT EXECUTE ON FUNCTION server_heartbeat(text, boolean, real), server_state(text) TO "+name)
	p := start(t, "room-server", arguments(t, blocks[1], "room-server",
		"127.0.0.1:8081", "127.0.0.1:0", "dbname=gxydb user=api", "dbname="+name+" user="+name)...)
	url := strings.TrimPrefix(p.expect(p.out, "listening on "), "listening on ")
	out, err := exec.Command("bash", "-e", "-c", strings.Replace(blocks[2], "http://127.0.0.1:8081", url, 1)).Output()
	if err != nil || string(out) != `{"janus":"gxy3"}`+"\n" { // the server for IL
		t.Errorf("%s (%v)", out, err)
	}

	// The servers of the page do not exist; the file is read.
	text, err := os.ReadFile("../../doc/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^gxy\d .*$`).FindAllString(string(text), -1)
	file := filepath.Join(t.TempDir(), "servers.txt")
	content := strings.ReplaceAll(strings.Join(lines, "\n"), "example.org", "invalid")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	m := start(t, "monitor", arguments(t, blocks[3], "monitor",
		"servers.txt", file, "dbname=gxydb user=monitor", "dbname="+name+" user="+name)...)
	m.expect(m.errs, "watching 2 servers")
	m.expect(m.errs, "is reported, and offline")
}

// TestDocumentedFunctions: the functions of the page.
func TestDocumentedFunctions(t *testing.T) {
	ctx := context.Background()
	db := open(t, "")
	pool, err := newPool(ctx, "dbname="+database)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	overSQL, overPgx := clients(db, pool)
	first, status := route(ctx, overSQL, "1", "")
	if first == "" || status != 200 {
		t.Errorf("%q, %d", first, status)
	}
	if second, status := route(ctx, overPgx, "1", ""); second != first || status != 200 {
		t.Errorf("%q, %d", second, status)
	}
	for state, want := range map[string]int{"P0002": 404, "53000": 503, "53400": 503, "40P01": 503, "22023": 400, "55000": 500} {
		failing := balancer.ForPgxTx[scriptedRow](&scripted{errors: []error{stateError(state)}})
		if _, status := route(ctx, failing, "1", ""); status != want {
			t.Errorf("%s: %d", state, status)
		}
	}
	// The transaction is repeated while what it fails for is temporary, and leaves nothing if it fails.
	attempts := 0
	record := func(failures int, state string) func(*sql.Tx, string) error {
		attempts = 0
		return func(tx *sql.Tx, server string) error {
			if recorded := mustAsk(t, tx, "SELECT room_server('2')"); recorded != server {
				t.Errorf("%s, not %s", recorded, server)
			}
			if attempts++; attempts <= failures {
				return stateError(state)
			}
			return nil
		}
	}
	if err := join(ctx, db, "2", record(1, "P0002")); sqlState(err) != "P0002" || attempts != 1 || count(t, db) != 1 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
	if err := join(ctx, db, "2", record(10, "40001")); sqlState(err) != "40001" || attempts != 5 || count(t, db) != 1 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
	if err := join(ctx, db, "2", record(2, "40001")); err != nil || attempts != 3 || count(t, db) != 2 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
}
