package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// server is a line of the file.
type server struct {
	name, url, admin, secret string
	capacity                 int
}

// readServers reads the file; "#" begins a comment.
func readServers(path string) (servers []server, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names := map[string]bool{}
	scanner := bufio.NewScanner(file)
	for line := 1; scanner.Scan(); line++ {
		text, _, _ := strings.Cut(scanner.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 5 {
			return nil, fmt.Errorf("line %d: not NAME URL ADMIN-URL ADMIN-SECRET CAPACITY", line)
		}
		capacity, err := strconv.Atoi(fields[4])
		if err != nil || capacity < 1 {
			return nil, fmt.Errorf("line %d: the capacity %s is not a number above 0", line, fields[4])
		}
		if names[fields[0]] {
			return nil, fmt.Errorf("line %d: %s is there twice", line, fields[0])
		}
		names[fields[0]] = true
		for i := 2; i <= 3; i++ {
			if fields[i] == "-" {
				fields[i] = ""
			}
		}
		servers = append(servers, server{fields[0], strings.TrimSuffix(fields[1], "/"),
			strings.TrimSuffix(fields[2], "/"), fields[3], capacity})
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(servers) == 0 {
		return nil, errors.New("no servers")
	}
	return servers, nil
}

// A connection that is kept would tell of the server's process, not whether it takes new ones. Each poll makes its own.
var client = http.Client{Transport: &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: time.Minute},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// request sends a request, and reads its answer, JSON of at most 16 MB.
func request(ctx context.Context, method, url string, body, answer interface{}) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", r.URL.Redacted(), response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(answer); err != nil {
		return fmt.Errorf("%s: not a Janus answer: %w", r.URL.Redacted(), err)
	}
	return nil
}

// alive returns nil if the server answers, and takes new sessions.
func alive(ctx context.Context, s server) error {
	var info struct {
		Janus     string
		Accepting *bool `json:"accepting-new-sessions"`
	}
	if err := request(ctx, http.MethodGet, s.url+"/info", nil, &info); err != nil {
		return err
	}
	if info.Janus != "server_info" {
		return fmt.Errorf("/info: not a Janus answer: %q", info.Janus)
	}
	if info.Accepting != nil && !*info.Accepting {
		return errors.New("it accepts no new sessions")
	}
	return nil
}

// counter returns how much the server carries.
type counter func(context.Context, server) (int, error)

var counters = map[string]counter{"sessions": sessions, "participants": participants}

// sessions counts all sessions of the server: each client has one.
func sessions(ctx context.Context, s server) (int, error) {
	var answer struct {
		Janus    string
		Error    struct{ Reason string }
		Sessions []json.Number
	}
	err := request(ctx, http.MethodPost, s.admin,
		map[string]string{"janus": "list_sessions", "transaction": "monitor", "admin_secret": s.secret}, &answer)
	if err == nil && answer.Janus != "success" {
		err = fmt.Errorf("list_sessions: %s %s", answer.Janus, answer.Error.Reason)
	}
	return len(answer.Sessions), err
}

// participants counts those who publish in the video rooms that are not private.
func participants(ctx context.Context, s server) (n int, err error) {
	var answer struct {
		Janus    string
		Error    struct{ Reason string }
		Response struct {
			Error string
			List  []struct {
				Participants int `json:"num_participants"`
			}
		}
	}
	err = request(ctx, http.MethodPost, s.admin,
		map[string]interface{}{"janus": "message_plugin", "transaction": "monitor", "admin_secret": s.secret,
			"plugin": "janus.plugin.videoroom", "request": map[string]string{"request": "list"}}, &answer)
	if err == nil && (answer.Janus != "success" || answer.Response.Error != "") {
		err = fmt.Errorf("list: %s %s%s", answer.Janus, answer.Error.Reason, answer.Response.Error)
	}
	for _, room := range answer.Response.List {
		if room.Participants < 0 || room.Participants > math.MaxInt32 {
			return 0, fmt.Errorf("list: a room with %d participants", room.Participants)
		}
		n += room.Participants
	}
	return n, err
}
