package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// How long a server may take to answer; the long poll for events may take longerTimeout, as Janus ends it after 30 seconds.
const (
	janusTimeout  = 2 * time.Second
	longerTimeout = time.Minute
)

const videoRoom = "janus.plugin.videoroom"

// roomExists is the error of the video room plugin for a room that is there already.
const roomExists = 427

var client = http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, IdleConnTimeout: 10 * time.Second}}

// message is what is sent to Janus.
type message map[string]interface{}

// answer is what Janus sends, as far as it is used here.
type answer struct {
	Janus string
	Error *struct {
		Code   int
		Reason string
	}
	Data       struct{ ID uint64 }
	PluginData struct{ Data pluginAnswer }
	Response   pluginAnswer
}

// pluginAnswer is what the video room plugin sends.
type pluginAnswer struct {
	VideoRoom string
	ErrorCode int `json:"error_code"`
	Error     string
	ID        string
	List      []struct {
		Room            string
		NumParticipants int `json:"num_participants"`
	}
	Participants []struct{ Display string }
}

// exchange makes an HTTP request within the time, and decodes the answer, which is JSON.
func exchange(ctx context.Context, timeout time.Duration, method, url string, body, result interface{}) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return json.NewDecoder(response.Body).Decode(result)
}

// ask sends one message to Janus.
func ask(ctx context.Context, url string, m message) (a answer, err error) {
	m["transaction"] = "video-client"
	if err = exchange(ctx, janusTimeout, http.MethodPost, url, m, &a); err == nil && a.Error != nil {
		err = fmt.Errorf("%s (%d)", a.Error.Reason, a.Error.Code)
	}
	return a, err
}

// session is a person's session on one server, with one handle of the video room plugin.
type session struct {
	server     string
	url        string // of the session
	id, handle uint64
	feed       string // the person's id in the room
}

// join opens a session on the server, and has the person join the room there, which is created if it is missing.
func join(ctx context.Context, server, url, room, name string) (s *session, err error) {
	created, err := ask(ctx, url, message{"janus": "create"})
	if err != nil {
		return nil, err
	}
	s = &session{server: server, id: created.Data.ID, url: fmt.Sprintf("%s/%d", url, created.Data.ID)}
	defer func() {
		if err != nil {
			s.leave()
		}
	}()
	attached, err := ask(ctx, s.url, message{"janus": "attach", "plugin": videoRoom})
	if err != nil {
		return nil, err
	}
	s.handle = attached.Data.ID
	plugin := fmt.Sprintf("%s/%d", s.url, s.handle)
	made, err := ask(ctx, plugin, message{"janus": "message", "body": message{"request": "create", "room": room,
		"publishers": 1000}})
	if err == nil && made.PluginData.Data.ErrorCode != 0 && made.PluginData.Data.ErrorCode != roomExists {
		err = errors.New(made.PluginData.Data.Error)
	}
	if err != nil {
		return nil, err
	}
	if _, err = ask(ctx, plugin, message{"janus": "message", "body": message{"request": "join", "ptype": "publisher",
		"room": room, "display": name}}); err != nil {
		return nil, err
	}
	return s, s.waitUntilJoined(ctx)
}

// waitUntilJoined waits for the event that answers the request to join.
func (s *session) waitUntilJoined(ctx context.Context) error {
	for {
		var a answer
		if err := exchange(ctx, janusTimeout, http.MethodGet, s.url, nil, &a); err != nil {
			return err
		}
		data := a.PluginData.Data
		switch {
		case a.Error != nil:
			return errors.New(a.Error.Reason)
		case data.ErrorCode != 0:
			return errors.New(data.Error)
		case data.VideoRoom == "joined":
			s.feed = data.ID
			return nil
		}
	}
}

// listen returns when the session has ended, with the reason.
func (s *session) listen(ctx context.Context) error {
	for {
		var a answer
		if err := exchange(ctx, longerTimeout, http.MethodGet, s.url, nil, &a); err != nil {
			return err
		}
		switch {
		case a.Error != nil:
			return errors.New(a.Error.Reason)
		case a.Janus == "timeout", a.Janus == "detached":
			return errors.New(a.Janus)
		}
	}
}

// keepAlive fails if the server does not answer, or has ended the session.
func (s *session) keepAlive(ctx context.Context) error {
	_, err := ask(ctx, s.url, message{"janus": "keepalive"})
	return err
}

// leave ends the session if the server answers.
func (s *session) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), janusTimeout)
	defer cancel()
	_, _ = ask(ctx, s.url, message{"janus": "destroy"})
}

// askPlugin sends a request to the video room plugin by the server's admin API.
func askPlugin(s server, request message) (pluginAnswer, error) {
	a, err := ask(context.Background(), s.adminURL, message{"janus": "message_plugin", "admin_secret": s.adminSecret,
		"plugin": videoRoom, "request": request})
	if err == nil && a.Response.ErrorCode != 0 {
		err = errors.New(a.Response.Error)
	}
	return a.Response, err
}

// members returns who is in which room of a server, as lines.
func members(s server) (lines []string, err error) {
	rooms, err := askPlugin(s, message{"request": "list"})
	if err != nil {
		return nil, err
	}
	for _, room := range rooms.List {
		if room.NumParticipants == 0 {
			continue
		}
		list, err := askPlugin(s, message{"request": "listparticipants", "room": room.Room})
		if err != nil {
			return nil, err
		}
		for _, participant := range list.Participants {
			lines = append(lines, fmt.Sprintf("%s %s %s", s.name, room.Room, participant.Display))
		}
	}
	return lines, nil
}
