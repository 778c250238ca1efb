package gxybalancer

import (
	"bufio"
	"database/sql"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for a state.
const patience = time.Minute

var (
	building sync.Mutex
	built    = map[string]string{}
)

// build returns the path of a program of examples/go.
func build(t *testing.T, name string) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	if built[name] == "" {
		binary, err := filepath.Abs(filepath.Join("programs", name)) // test/run has copied this folder
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "build", "-o", binary, "example.org/gxy_balancer/cmd/"+name).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		built[name] = binary
	}
	return built[name]
}

// program is a running program of examples/go.
type program struct {
	t         *testing.T
	name      string
	process   *os.Process
	out, errs chan string // lines of the standard output, of the standard error
}

// start runs a program until the end of the test.
func start(t *testing.T, name string, arguments ...string) *program {
	t.Helper()
	command := exec.Command(build(t, name), arguments...)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{t, name, command.Process, make(chan string, 10000), make(chan string, 10000)}
	var read sync.WaitGroup
	read.Add(2)
	go p.read(out, p.out, &read)
	go p.read(errs, p.errs, &read)
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		read.Wait()
		if err := command.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return p
}

func (p *program) read(from io.Reader, to chan<- string, read *sync.WaitGroup) {
	defer read.Done()
	for scanner := bufio.NewScanner(from); scanner.Scan(); {
		to <- scanner.Text()
	}
}

// expect returns the next line that has a text.
func (p *program) expect(lines <-chan string, text string) string {
	p.t.Helper()
	for late := time.After(patience); ; {
		select {
		case line := <-lines:
			if strings.Contains(line, text) {
				return line
			}
			p.t.Logf("%s: %s", p.name, line)
		case <-late:
			p.t.Fatalf("%s has not said %q", p.name, text)
		}
	}
}

// waitUntil returns when a query answers true.
func waitUntil(t *testing.T, db *sql.DB, query string, arguments ...interface{}) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var met bool
		if err := db.QueryRow(query, arguments...).Scan(&met); err != nil && err != sql.ErrNoRows {
			t.Fatalf("%s: %v", query, err)
		}
		if met {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never true: %s with %v", query, arguments)
		}
	}
}

// execute runs a program that ends by itself, and returns what it says.
func execute(t *testing.T, name string, arguments ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(build(t, name), arguments...).CombinedOutput()
	return string(out), err
}
