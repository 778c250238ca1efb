// Command bridge tells the clients of rooms that have moved where to reconnect.
//
// It listens on the channel gxy_balancer and handles the event rooms_moved (doc/failover.md). Here each room is one line on
// the standard output, or one HTTP POST to the URL that is the first argument; let tell() do what your clients listen to.
// libpq's variables (PGHOST, PGDATABASE and so on) say where the database is. The role needs SELECT on
// room_server_assignments, and the extension's schema in its search_path.
//
// A connection that is lost may lose notifications: after it is back, the bridge tells of every room that has moved since it
// was last known to work. So a room may be told of twice, and clients that are on the right server must ignore it.
package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/lib/pq"
)

const missed = `SELECT room_id, gateway_name FROM room_server_assignments
	WHERE assigned_at > $1::timestamptz - interval '1 minute' AND reason ~ '^(failover|evacuated|moved|rebalanced) from '`

func tell(room, server string) {
	message, _ := json.Marshal(map[string]string{"room": room, "reconnect_to": server})
	if len(os.Args) < 2 {
		os.Stdout.Write(append(message, '\n'))
	} else if answer, err := http.Post(os.Args[1], "application/json", bytes.NewReader(message)); err != nil {
		log.Print(err)
	} else {
		answer.Body.Close()
	}
}

// now returns the time of the database server, by which rooms are moved; the last known one if it does not answer.
func now(db *sql.DB, last time.Time) (time.Time, bool) {
	err := db.QueryRow("SELECT clock_timestamp()").Scan(&last)
	return last, err == nil
}

// resync tells of every room that has moved since a time, and tries until it has.
func resync(db *sql.DB, since time.Time) {
	for {
		rows, err := db.Query(missed, since)
		if err == nil {
			for rows.Next() {
				var room, server string
				if rows.Scan(&room, &server) == nil {
					tell(room, server)
				}
			}
			if err = rows.Err(); err == nil {
				return
			}
		}
		log.Print("reading what has moved: ", err)
		time.Sleep(time.Second)
	}
}

func main() {
	db, err := sql.Open("postgres", "")
	if err != nil {
		log.Fatal(err)
	}
	listener := pq.NewListener("", 100*time.Millisecond, 10*time.Second, nil)
	if err := listener.Listen("gxy_balancer"); err != nil {
		log.Fatal(err)
	}
	alive, _ := now(db, time.Now())
	log.Print("listening")
	for {
		select {
		case notification := <-listener.Notify:
			if notification == nil { // the connection was lost, and is back
				resync(db, alive)
				alive, _ = now(db, alive)
				continue
			}
			var event struct {
				Event, Target string
				Rooms         []string
			}
			// The key "rooms" is a number in events that sum up.
			if json.Unmarshal([]byte(notification.Extra), &event) != nil || event.Event != "rooms_moved" {
				continue
			}
			for _, room := range event.Rooms {
				tell(room, event.Target)
			}
		case <-time.After(30 * time.Second):
			if at, ok := now(db, alive); ok && listener.Ping() == nil {
				alive = at
			}
		}
	}
}
