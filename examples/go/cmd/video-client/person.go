package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand"
	"time"
)

// The pause before the next attempt to join doubles up to longestPause; a random half of it or more is waited.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = time.Second
)

var errMoved = errors.New("the room has moved")

// person is one user in one room.
type person struct {
	crowd *crowd
	room  string
	name  string
	told  chan string // the last server that the bridge has told of, if it has not been read yet
}

// tell replaces what has been told before and has not been read. The caller holds the crowd's lock.
func (p *person) tell(server string) {
	select {
	case <-p.told:
	default:
	}
	p.told <- server
}

// live joins the room, and again whenever the session has ended, until the context ends.
func (p *person) live(ctx context.Context) {
	for pause := shortestPause; ctx.Err() == nil; {
		s, err := p.enter(ctx)
		if err == nil {
			log.Printf("%s: joined on %s", p.name, s.server)
			pause = shortestPause
			err = p.stay(ctx, s)
			s.leave()
		}
		if ctx.Err() != nil {
			break
		}
		log.Printf("%s: %v", p.name, err)
		if errors.Is(err, errMoved) {
			pause = shortestPause
		}
		p.wait(ctx, pause)
		if pause *= 2; pause > longestPause {
			pause = longestPause
		}
	}
	if err := p.crowd.api.leave(p); err != nil {
		log.Printf("%s: the API does not take that it is gone: %v", p.name, err)
	}
}

// wait ends early when the bridge tells where the room is.
func (p *person) wait(ctx context.Context, longest time.Duration) {
	timer := time.NewTimer(longest/2 + time.Duration(rand.Int63n(int64(longest/2))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-p.told:
	case <-timer.C:
	}
}

// enter asks the API for the room's server, and joins there.
func (p *person) enter(ctx context.Context) (*session, error) {
	server, err := p.crowd.api.roomServer(ctx, p.room)
	if err != nil {
		return nil, fmt.Errorf("the API: %w", err)
	}
	url, known := p.crowd.urls[server]
	if !known {
		return nil, fmt.Errorf("the API names %q, which is not in the file of servers", server)
	}
	s, err := join(ctx, server, url, p.room, p.name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", server, err)
	}
	return s, nil
}

// stay keeps the session alive, there and in the API, and returns why it has ended.
func (p *person) stay(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.listen(ctx) }()
	ticker := time.NewTicker(p.crowd.keepalive)
	defer ticker.Stop()
	for {
		// The API may be away for a while; that ends no session.
		server, err := p.crowd.api.report(ctx, p, s)
		if err != nil && ctx.Err() == nil {
			log.Printf("%s: the API takes no report: %v", p.name, err)
		}
		if err == nil && server != s.server {
			return errMoved
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return fmt.Errorf("%s: %w", s.server, err)
		case server := <-p.told:
			if server != s.server {
				return errMoved
			}
		case <-ticker.C:
			if err := s.keepAlive(ctx); err != nil {
				return fmt.Errorf("%s: %w", s.server, err)
			}
		}
	}
}
