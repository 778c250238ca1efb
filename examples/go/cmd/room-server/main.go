// Command room-server answers where a room is, over HTTP, and keeps the sessions of a service alive: the two requests of
// the service that have to do with balancing, over its tables (examples/gxydb).
//
//	POST /v2/room_server {"room": "2171", "geo": {"country_code": "IL"}}     {"janus": "gxy5"}
//	PUT /users/{id} {"room": "2171", "janus": "gxy5", "session": 1, ...}     {"result": "success", "janus": "gxy5"}
//	DELETE /users/{id}                                                       {"result": "success"}
//	GET /health_check                                                        {"result": "success"}
//
// Answers other than 200 are {"error": "..."}: 400 for a request that is not valid, 404 for a room or a user that does not
// exist, 503 with Retry-After when no server takes the room or the database does not answer, 500 for what an operator must
// mend.
//
//	room-server -listen 127.0.0.1:8081 -db postgres://api@localhost/gxydb -regions IL=IL,US=US
//
// The database role needs the rights of gxydb_api in examples/gxydb.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"example.org/gxy_balancer/balancer"
	"example.org/gxy_balancer/internal/database"
)

const connections = 16

// parseRegions reads the flag -regions: country=region, several regions of a country joined by +.
func parseRegions(list string) (map[string]string, error) {
	regions := map[string]string{}
	for _, pair := range strings.Split(list, ",") {
		if pair == "" {
			continue
		}
		country, region, ok := strings.Cut(pair, "=")
		if !ok || country == "" || region == "" {
			return nil, fmt.Errorf("%q is not of the form COUNTRY=REGION", pair)
		}
		regions[strings.ToUpper(country)] = strings.ReplaceAll(region, "+", ",")
	}
	return regions, nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("room-server: ")
	var urls database.URLs
	listen := flag.String("listen", "127.0.0.1:8081", "address to listen on; port 0: a free one, which is printed")
	flag.Var(&urls, "db", "connection string; several -db: the first that is a primary (default $DB_URL, or libpq's variables)")
	list := flag.String("regions", "", "region of each country: IL=IL,US=US,DE=EU+US")
	patience := flag.Duration("timeout", 5*time.Second, "how long a request may take")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %s", flag.Arg(0))
	}
	if url := os.Getenv("DB_URL"); url != "" && len(urls) == 0 {
		urls = database.URLs{url}
	}
	regions, err := parseRegions(*list)
	if err != nil {
		log.Fatal("-regions: ", err)
	}
	db, err := database.Open(urls, connections, *patience)
	if err != nil {
		log.Fatal(err)
	}
	api := &api{db: db, balancer: balancer.ForDB(db), regions: regions, patience: *patience}

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		<-stop.Done()
		patience, cancel := context.WithTimeout(context.Background(), *patience)
		defer cancel()
		server.Shutdown(patience)
	}()
	fmt.Printf("listening on http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-finished
}
