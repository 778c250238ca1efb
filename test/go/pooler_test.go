package gxybalancer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// Tests through pgbouncer in transaction mode, with the functions of the documentation: serverOf,
// serverFromPool and serverOnShard are extracted from it, newPool and pgxPooled depend on the
// version of pgx; see run_go in test/run.

const poolerCalls = 100

// throughPooler returns the connection string, with the given parameter of the driver.
func throughPooler(t *testing.T, setting string) string {
	t.Helper()
	port := os.Getenv("PGBOUNCER_PORT")
	if port == "" {
		t.Fatal("PGBOUNCER_PORT is not set: test/run starts pgbouncer")
	}
	return "dbname=" + database + " port=" + port + " " + setting
}

// The calls of a service, over as many connections as there are callers.
type calls struct {
	server func(ctx context.Context, room int64) (string, error)
	touch  func(ctx context.Context, room int64) (bool, error)
}

type driver struct {
	name    string
	setting string // the parameter that a pooler needs
	open    func(t *testing.T, connection string) calls
}

var drivers = []driver{
	{"lib/pq", "binary_parameters=yes", func(t *testing.T, connection string) calls {
		db, err := sql.Open("postgres", connection)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return calls{
			func(ctx context.Context, room int64) (string, error) { return serverOf(ctx, db, room) },
			func(ctx context.Context, room int64) (known bool, err error) {
				err = db.QueryRowContext(ctx, "SELECT touch_room($1, $2)", room, 3).Scan(&known)
				return
			},
		}
	}},
	{"pgx", pgxPooled, func(t *testing.T, connection string) calls {
		pool, err := newPool(context.Background(), connection+" pool_max_conns=16")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		return calls{
			func(ctx context.Context, room int64) (string, error) { return serverFromPool(ctx, pool, room) },
			func(ctx context.Context, room int64) (known bool, err error) {
				err = pool.QueryRow(ctx, "SELECT touch_room($1::bigint, $2)", room, 3).Scan(&known)
				return
			},
		}
	}},
}

// callAtOnce has 16 callers ask for 50 rooms, and touch them, until one fails or all are done. It
// returns the first failure.
func callAtOnce(service calls) error {
	const callers, rooms = 16, 50
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failures := make(chan error, callers)
	var mutex sync.Mutex
	servers := map[int64]string{}
	caller := func() error {
		for i := int64(0); i < poolerCalls; i++ {
			room := i % rooms
			server, err := service.server(ctx, room)
			if err != nil {
				return err
			}
			mutex.Lock()
			known := servers[room]
			servers[room] = server
			mutex.Unlock()
			if known != "" && known != server {
				return fmt.Errorf("room %d: %s and %s", room, known, server)
			}
			if touched, err := service.touch(ctx, room); err != nil || !touched {
				return fmt.Errorf("room %d is touched: %v (%w)", room, touched, err)
			}
		}
		return nil
	}
	for i := 0; i < callers; i++ {
		go func() { failures <- caller() }()
	}
	var first error
	for i := 0; i < callers; i++ {
		if err := <-failures; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}

// TestPooler: with the parameter that doc/clients.md gives for the driver, no call fails.
func TestPooler(t *testing.T) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			open(t, "")
			if err := callAtOnce(d.open(t, throughPooler(t, d.setting))); err != nil {
				t.Error(err)
			}
		})
	}
}

// sqlState returns the SQLSTATE of an error of either driver.
func sqlState(err error) string {
	var failure interface{ SQLState() string }
	if errors.As(err, &failure) {
		return failure.SQLState()
	}
	return ""
}

// TestPoolerWithout: without the parameter calls fail, so this pooler does need it.
func TestPoolerWithout(t *testing.T) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			open(t, "")
			service := d.open(t, throughPooler(t, ""))
			var err error
			for deadline := time.Now().Add(time.Minute); err == nil && time.Now().Before(deadline); {
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

// TestShards: every call for a room goes to the same database.
func TestShards(t *testing.T) {
	db := open(t, "")
	shards := []*sql.DB{db, db, db}
	server, err := serverOnShard(context.Background(), shards, "2171")
	if err != nil {
		t.Fatal(err)
	}
	if again := mustAsk(t, db, "SELECT room_server($1)", "2171"); again != server {
		t.Errorf("%s, not %s", again, server)
	}
}
