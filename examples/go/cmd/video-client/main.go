// Command video-client plays the users of video rooms on Janus servers: it joins rooms where the API says they are, and
// follows them when they move. It sends no media.
//
//	video-client -api http://127.0.0.1:8081 -servers servers.conf -listen 127.0.0.1:8082
//
// Each line of the standard input is a room and how many people are to join it ("2171 3"). Each of them asks the API for
// the room's server, opens a session there, creates the room if the server does not have it, and joins. It is reported to
// the API as often as the session is kept alive. When the server is gone, when the API answers a report with another server,
// and when a POST of cmd/bridge to the address of -listen does, the person asks the API again and joins there. SIGINT and
// SIGTERM make all leave.
//
// A line of the file of servers is a name and the URL of the server; what follows the URL is for others, but -members needs
// the URL of the server's admin API and its secret there.
//
//	video-client -members -servers servers.conf     who is in which room, by each server's own list: server, room, name
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a line of the file of servers.
type server struct {
	name, url, adminURL, adminSecret string
}

// readServers reads the file of servers; comments begin with #.
func readServers(file string) (servers []server, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for number, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < 2 {
			return nil, fmt.Errorf("%s, line %d: a name and a URL are wanted", file, number+1)
		}
		s := server{name: words[0], url: strings.TrimRight(words[1], "/")}
		if len(words) >= 4 {
			s.adminURL, s.adminSecret = strings.TrimRight(words[2], "/"), words[3]
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// crowd is all people of this process.
type crowd struct {
	api       *api
	urls      map[string]string // of the servers, by name
	keepalive time.Duration
	all       sync.WaitGroup

	lock sync.Mutex
	in   map[string][]*person // by room
}

// open has so many people join a room.
func (c *crowd) open(ctx context.Context, room string, people int) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for i := 0; i < people; i++ {
		p := &person{crowd: c, room: room, name: fmt.Sprintf("%s.%d", room, len(c.in[room])+1), told: make(chan string, 1)}
		c.in[room] = append(c.in[room], p)
		c.all.Add(1)
		go func() {
			defer c.all.Done()
			p.live(ctx)
		}()
	}
}

// ServeHTTP takes what cmd/bridge posts.
func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var move struct {
		Room        string
		ReconnectTo string `json:"reconnect_to"`
	}
	if err := json.NewDecoder(r.Body).Decode(&move); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, p := range c.in[move.Room] {
		p.tell(move.ReconnectTo)
	}
	w.WriteHeader(http.StatusNoContent)
}

// readRooms opens the rooms that the standard input names.
func (c *crowd) readRooms(ctx context.Context) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) != 2 {
			log.Printf("not a room and a number of people: %q", lines.Text())
			continue
		}
		people, err := strconv.Atoi(words[1])
		if err != nil {
			log.Print(err)
			continue
		}
		c.open(ctx, words[0], people)
	}
}

// printMembers returns whether all servers have answered.
func printMembers(servers []server) bool {
	var all sync.WaitGroup
	lines, errs := make([][]string, len(servers)), make([]error, len(servers))
	for i := range servers {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			lines[i], errs[i] = members(servers[i])
		}(i)
	}
	all.Wait()
	complete := true
	for i, s := range servers {
		if errs[i] != nil {
			fmt.Fprintf(os.Stderr, "%s does not answer: %v\n", s.name, errs[i])
			complete = false
		}
		for _, line := range lines[i] {
			fmt.Println(line)
		}
	}
	return complete
}

func main() {
	apiURL := flag.String("api", "", "the URL of the API")
	file := flag.String("servers", "", "the file of servers")
	listen := flag.String("listen", "", "where cmd/bridge tells of rooms that have moved; port 0: any free one")
	keepalive := flag.Duration("keepalive", time.Second, "how often sessions are kept alive")
	show := flag.Bool("members", false, "print the members of every room on every server, and exit")
	flag.Parse()
	log.SetFlags(log.Ltime | log.Lmicroseconds)

	servers, err := readServers(*file)
	if err != nil {
		log.Fatal(err)
	}
	if *show {
		if !printMembers(servers) {
			os.Exit(1)
		}
		return
	}
	c := &crowd{api: &api{url: strings.TrimRight(*apiURL, "/")}, urls: map[string]string{}, keepalive: *keepalive,
		in: map[string][]*person{}}
	for _, s := range servers {
		c.urls[s.name] = s.url
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if *listen != "" {
		listener, err := net.Listen("tcp", *listen)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("listening on http://%s\n", listener.Addr())
		go func() { log.Fatal(http.Serve(listener, c)) }()
	}
	go c.readRooms(ctx)
	<-ctx.Done()
	c.all.Wait()
}
