// Command bridge tells the clients of rooms that have moved where to reconnect.
//
//	bridge -db postgres://bridge@localhost/gxydb [URL]
//
// It listens on the channel gxy_balancer and handles the event rooms_moved (doc/failover.md). Here each room is one line on
// the standard output, or one HTTP POST to the URL; let tell() do what your clients listen to. The role needs the extension's schema in its search_path, and
//
//	GRANT USAGE ON SCHEMA public TO bridge;
//	GRANT EXECUTE ON FUNCTION room_server(text) TO bridge;
//	GRANT SELECT ON room_server_assignments TO bridge;
//
// Every role can send a notification that looks like the extension's. So the bridge takes only the names of the rooms from
// it, and asks the database where they are.
//
// A connection that is lost may lose notifications: after it is back, the bridge tells of every room that has moved since it
// was last known to work. So a room may be told of twice, and clients that are on the right server must ignore it. While the
// URL does not answer, the bridge tries again and the other rooms wait. What moves while no bridge runs is not told.
package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"example.org/gxy_balancer/internal/database"
	"github.com/lib/pq"
)

const moved = `SELECT room, server FROM unnest($1::text[]) room, room_server(room) server WHERE server IS NOT NULL`

const missed = `SELECT room_id, gateway_name FROM room_server_assignments
	WHERE assigned_at > $1::timestamptz - interval '1 minute' AND reason ~ '^(failover|evacuated|moved|rebalanced) from '`

var client = http.Client{Timeout: 5 * time.Second}

func post(url string, message []byte) error {
	answer, err := client.Post(url, "application/json", bytes.NewReader(message))
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode >= 500 {
		return errors.New(answer.Status)
	}
	if answer.StatusCode >= 300 {
		log.Printf("%s does not take %s: %s", url, message, answer.Status)
	}
	return nil
}

// tell returns when the clients of the room have been told.
func tell(room, server string) {
	message, _ := json.Marshal(map[string]string{"room": room, "reconnect_to": server})
	if flag.NArg() == 0 {
		os.Stdout.Write(append(message, '\n'))
		return
	}
	for err := post(flag.Arg(0), message); err != nil; err = post(flag.Arg(0), message) {
		log.Print("telling, again in a second: ", err)
		time.Sleep(time.Second)
	}
}

// where returns the servers of the rooms that a query gives, in pairs.
func where(db *sql.DB, query string, argument interface{}) (rooms [][2]string, err error) {
	rows, err := db.Query(query, argument)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var room, server string
		if err := rows.Scan(&room, &server); err != nil {
			return nil, err
		}
		rooms = append(rooms, [2]string{room, server})
	}
	return rooms, rows.Err()
}

// tellAll tells of the rooms that a query gives; it repeats one that fails, as while the database does not answer.
func tellAll(db *sql.DB, query string, argument interface{}) {
	rooms, err := where(db, query, argument)
	for err != nil {
		log.Print("asking where rooms are, again in a second: ", err)
		time.Sleep(time.Second)
		rooms, err = where(db, query, argument)
	}
	for _, room := range rooms {
		tell(room[0], room[1])
	}
}

// now returns the time of the database server, by which rooms are moved; the last known one if it does not answer.
func now(db *sql.DB, last time.Time) (time.Time, bool) {
	err := db.QueryRow("SELECT clock_timestamp()").Scan(&last)
	return last, err == nil
}

func main() {
	url := flag.String("db", "", "connection string (default $DB_URL, or libpq's variables)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bridge [-db STRING] [URL]\nURL: where each room that moves is posted; without it they are printed")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *url == "" {
		*url = os.Getenv("DB_URL")
	}
	if target := flag.Arg(0); flag.NArg() > 1 || target != "" && !strings.HasPrefix(target, "http://") && !strings.HasPrefix(target, "https://") {
		flag.Usage()
		os.Exit(2)
	}
	connector, err := database.Connector(*url)
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	listener := pq.NewListener(*url, 100*time.Millisecond, 10*time.Second, func(_ pq.ListenerEventType, err error) {
		if err != nil {
			log.Print("the connection that listens: ", err)
		}
	})
	if err := listener.Listen("gxy_balancer"); err != nil {
		log.Fatal(err)
	}
	alive, _ := now(db, time.Now())
	// Without these rights it would work until the first event, or until the connection is lost.
	if _, err := where(db, moved, pq.Array([]string{})); err != nil {
		log.Fatal(err)
	}
	if _, err := where(db, missed, alive); err != nil {
		log.Fatal(err)
	}
	log.Print("listening")
	for {
		select {
		case notification := <-listener.Notify:
			if notification == nil { // the connection was lost, and is back
				tellAll(db, missed, alive)
				alive, _ = now(db, alive)
				continue
			}
			var event struct {
				Event string
				Rooms []string
			}
			// The key "rooms" is a number in events that sum up.
			if json.Unmarshal([]byte(notification.Extra), &event) != nil || event.Event != "rooms_moved" {
				continue
			}
			tellAll(db, moved, pq.Array(event.Rooms))
		case <-time.After(30 * time.Second):
			if at, ok := now(db, alive); ok && listener.Ping() == nil {
				alive = at
			}
		}
	}
}
