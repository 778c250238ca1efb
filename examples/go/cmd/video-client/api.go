package main

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// apiTimeout is longer than the API takes to answer that it cannot.
const apiTimeout = 6 * time.Second

// api is the service's API (cmd/room-server).
type api struct {
	url string
}

// roomServer returns the name of the server where the room is.
func (a *api) roomServer(ctx context.Context, room string) (string, error) {
	var result struct{ Janus string }
	err := exchange(ctx, apiTimeout, http.MethodPost, a.url+"/v2/room_server", map[string]string{"room": room}, &result)
	return result.Janus, err
}

// report tells that the session is alive, and returns the name of the server where its room is.
func (a *api) report(ctx context.Context, p *person, s *session) (string, error) {
	var result struct{ Janus string }
	err := exchange(ctx, apiTimeout, http.MethodPut, a.user(p), map[string]interface{}{"room": p.room, "janus": s.server,
		"session": s.id, "handle": s.handle, "rfid": s.feed, "display": p.name}, &result)
	return result.Janus, err
}

// leave tells that the person has no session any more.
func (a *api) leave(p *person) error {
	return exchange(context.Background(), apiTimeout, http.MethodDelete, a.user(p), nil, &struct{}{})
}

func (a *api) user(p *person) string {
	return a.url + "/users/" + url.PathEscape(p.name)
}
