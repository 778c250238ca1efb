// Command client measures calls as Go's drivers send them, beside a plain SELECT that is sent alike.
//
//	client -mode NAME [-connections N] [-rooms N] [-rounds N] [-slice DURATION] [-pooler PORT]
//
// It connects like any client of PostgreSQL: PGHOST, PGDATABASE and so on. Each connection has a
// goroutine that calls without a pause. In a round the two sides take turns in alternating order,
// several short ones each, so that what else the machine does affects both. A line of the output is
// the mode, connections, side, round, p50 and p99 in microseconds, and calls a second, separated by
// tabs.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v4"
	_ "github.com/lib/pq"
)

var sides = []struct{ name, statement string }{
	{"plain", "SELECT gateway_name FROM room_server_assignments WHERE room_id = $1"},
	{"sticky", "SELECT get_or_assign_server($1)"},
}

// A call of a side on one connection, for a room, or for as many as a batch has.
type call func(ctx context.Context, side int, room func() string) error

type mode struct {
	name    string
	pooler  bool
	setting string // of the connection string
	open    func(ctx context.Context, connection string) (call, error)
}

const (
	inBatch = 10
	turns   = 5 // of each side in a round
)

var modes = []mode{
	{"lib/pq", false, "", openPq},
	{"lib/pq prepared", false, "", openPqPrepared},
	{"pgx", false, "", openPgx}, // prepares by itself
	{"pgx unprepared", false, "statement_cache_mode=describe", openPgx},
	{"pgx simple protocol", false, "", openPgxSimple},
	{"pgx batch", false, "", openPgxBatch},
	// With what doc/clients.md says of poolers.
	{"lib/pq, pgbouncer", true, "binary_parameters=yes", openPq},
	{"pgx, pgbouncer", true, "statement_cache_mode=describe", openPgx},
}

func openPq(ctx context.Context, connection string) (call, error) {
	db, err := sql.Open("postgres", connection)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	return func(ctx context.Context, side int, room func() string) error {
		var server string
		return conn.QueryRowContext(ctx, sides[side].statement, room()).Scan(&server)
	}, err
}

func openPqPrepared(ctx context.Context, connection string) (call, error) {
	db, err := sql.Open("postgres", connection)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	prepared := make([]*sql.Stmt, len(sides))
	for i, side := range sides {
		if prepared[i], err = conn.PrepareContext(ctx, side.statement); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, side int, room func() string) error {
		var server string
		return prepared[side].QueryRowContext(ctx, room()).Scan(&server)
	}, nil
}

func openPgx(ctx context.Context, connection string) (call, error) {
	conn, err := pgx.Connect(ctx, connection)
	return func(ctx context.Context, side int, room func() string) error {
		var server string
		return conn.QueryRow(ctx, sides[side].statement, room()).Scan(&server)
	}, err
}

func openPgxSimple(ctx context.Context, connection string) (call, error) {
	conn, err := pgx.Connect(ctx, connection)
	return func(ctx context.Context, side int, room func() string) error {
		var server string
		return conn.QueryRow(ctx, sides[side].statement, pgx.QuerySimpleProtocol(true), room()).Scan(&server)
	}, err
}

func openPgxBatch(ctx context.Context, connection string) (call, error) {
	conn, err := pgx.Connect(ctx, connection)
	return func(ctx context.Context, side int, room func() string) error {
		batch := &pgx.Batch{}
		for i := 0; i < inBatch; i++ {
			batch.Queue(sides[side].statement, room())
		}
		results := conn.SendBatch(ctx, batch)
		for i := 0; i < inBatch; i++ {
			var server string
			if err := results.QueryRow().Scan(&server); err != nil {
				results.Close()
				return err
			}
		}
		return results.Close()
	}, err
}

// measure has all connections call for the slice, and returns the latencies.
func measure(calls []call, side, rooms int, slice time.Duration) ([]time.Duration, error) {
	// A service's calls have the context of a request, which can end.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var (
		group sync.WaitGroup
		mutex sync.Mutex
		all   []time.Duration
		first error
	)
	until := time.Now().Add(slice)
	for i := range calls {
		group.Add(1)
		go func(call call, seed int64) {
			defer group.Done()
			random := rand.New(rand.NewSource(seed))
			room := func() string { return strconv.Itoa(1 + random.Intn(rooms)) }
			var latencies []time.Duration
			var err error
			for from := time.Now(); err == nil && from.Before(until); {
				err = call(ctx, side, room)
				to := time.Now()
				latencies = append(latencies, to.Sub(from))
				from = to
			}
			mutex.Lock()
			defer mutex.Unlock()
			all = append(all, latencies...)
			if first == nil {
				first = err
			}
		}(calls[i], rand.Int63())
	}
	group.Wait()
	return all, first
}

type options struct {
	rooms, rounds int
	slice         time.Duration
	pooler        string
}

func (m mode) run(connections int, o options) error {
	connection := m.setting
	if m.pooler {
		connection += " port=" + o.pooler
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	calls := make([]call, connections)
	for i := range calls {
		var err error
		if calls[i], err = m.open(ctx, connection); err != nil {
			return err
		}
	}
	for round := 0; round <= o.rounds; round++ { // round 0 warms up
		latencies := make([][]time.Duration, len(sides))
		for turn := 0; turn < turns*len(sides); turn++ {
			side := (turn + turn/len(sides) + round) % len(sides)
			more, err := measure(calls, side, o.rooms, o.slice/turns)
			if err != nil {
				return err
			}
			latencies[side] = append(latencies[side], more...)
		}
		for side, all := range latencies {
			if round == 0 {
				continue
			}
			sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
			at := func(p float64) float64 {
				return float64(all[int(p*float64(len(all)-1))]) / float64(time.Microsecond)
			}
			fmt.Printf("%s\t%d\t%s\t%d\t%.1f\t%.1f\t%.0f\n", m.name, connections, sides[side].name, round,
				at(0.5), at(0.99), float64(len(all))/o.slice.Seconds())
		}
	}
	return nil
}

// A run ends with its process, which takes its connections with it.
func main() {
	var o options
	name := flag.String("mode", "", "what to measure; without it the names of the modes are printed")
	connections := flag.Int("connections", 8, "how many there are")
	flag.IntVar(&o.rooms, "rooms", 500, "rooms, called 1 to N")
	flag.IntVar(&o.rounds, "rounds", 9, "how often the sides take turns")
	flag.DurationVar(&o.slice, "slice", 200*time.Millisecond, "how long a side works in a round")
	flag.StringVar(&o.pooler, "pooler", "6432", "port of the pooler")
	flag.Parse()
	for _, m := range modes {
		if *name == "" {
			fmt.Println(m.name)
		} else if m.name == *name {
			if err := m.run(*connections, o); err != nil {
				fmt.Fprintln(os.Stderr, m.name+":", err)
				os.Exit(1)
			}
		}
	}
}
