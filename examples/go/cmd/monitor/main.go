// Command monitor polls Janus servers, and reports their health and load to gxy_balancer.
//
//	monitor -servers servers.txt -db postgres://monitor@localhost/gxydb
//
// A line of the file is a server: its name in the pool, the URL that clients use, the URL of the admin API, the admin
// secret, and its capacity (the unit is that of -measure). "-" for the admin URL and the secret: health only.
//
//	gxy1  http://gxy1.example.org:8088/janus  http://gxy1.example.org:7088/admin  janusoverlord  400
//
// Every interval each server is asked for /janus/info, and by the admin API for what it carries: sessions (-measure
// sessions), or participants of its video rooms (-measure participants). Its answer becomes server_heartbeat(name, true,
// load); after -failures polls in a row without one it is server_heartbeat(name, false). In between nothing is reported.
// Each server has a poller of its own, so that one that is slow delays no other's heartbeat.
//
// What changes is logged, and nothing else. While the database does not answer the servers are polled on, and what they
// were last found to be is reported as soon as it does. Run two monitors for one pool only with the same settings: the
// last report counts. heartbeat_timeout should be at least interval x (failures + 2), or 0.
//
// The role needs
//
//	GRANT USAGE ON SCHEMA public TO monitor;
//	GRANT EXECUTE ON FUNCTION server_heartbeat(text, boolean, real), server_state(text) TO monitor;
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"example.org/gxy_balancer/balancer"
	"example.org/gxy_balancer/internal/database"
)

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	var urls database.URLs
	flag.Var(&urls, "db", "connection string; several -db: the first that is a primary (default $DB_URL, or libpq's variables)")
	file := flag.String("servers", "", "file with the servers, one a line")
	interval := flag.Duration("interval", time.Second, "time between two polls of a server")
	timeout := flag.Duration("timeout", 800*time.Millisecond, "how long a server may take to answer")
	failures := flag.Int("failures", 3, "failed polls in a row until a server is reported unhealthy")
	measure := flag.String("measure", "sessions", "what is counted as load: sessions or participants")
	flag.Parse()
	if flag.NArg() > 0 || *failures < 1 || *interval <= 0 || *timeout <= 0 || counters[*measure] == nil {
		flag.Usage()
		os.Exit(2)
	}
	servers, err := readServers(*file)
	if err != nil {
		log.Fatal("-servers: ", err)
	}
	if url := os.Getenv("DB_URL"); url != "" && len(urls) == 0 {
		urls = database.URLs{url}
	}
	// A heartbeat that waits for a lock holds its connection, and must not hold up the others.
	longest := *interval + 2*time.Second
	db, err := database.Open(urls, len(servers), longest)
	if err != nil {
		log.Fatal(err)
	}
	reports := &reports{
		// The next interval reports again, so a heartbeat is not repeated for longer than that.
		client:  balancer.ForDB(db).WithRetry(balancer.Retry{Attempts: 3, Pause: *interval / 8, MaxPause: *interval / 4}),
		timeout: longest, reconnect: func() { database.Reconnect(db, len(servers)) },
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	log.Printf("watching %d servers", len(servers))
	var all sync.WaitGroup
	for i, server := range servers {
		all.Add(1)
		p := &poller{server: server, count: counters[*measure], timeout: *timeout, failures: *failures, reports: reports}
		// The first polls are spread over an interval, and so are all after them.
		first := *interval * time.Duration(i) / time.Duration(len(servers))
		go func() {
			defer all.Done()
			p.run(stop, first, *interval)
		}()
	}
	all.Wait()
}
