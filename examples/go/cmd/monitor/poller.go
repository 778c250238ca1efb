package main

import (
	"context"
	"fmt"
	"log"
	"time"
)

// poller watches one server.
type poller struct {
	server   server
	count    counter
	timeout  time.Duration
	failures int
	reports  *reports

	failed  int    // polls in a row
	known   bool   // whether it has been found healthy or not
	healthy bool   // if known
	unknown string // why the load is unknown, as last logged
}

// run polls until the context ends. A poll that takes longer than the interval is followed by the next at once.
func (p *poller) run(ctx context.Context, first, interval time.Duration) {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begun := time.Now()
		p.poll(ctx)
		timer.Reset(interval - time.Since(begun))
	}
}

// poll asks the server once, and reports it.
func (p *poller) poll(ctx context.Context) {
	answer, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := alive(answer, p.server)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		p.failed++
		if p.failed < p.failures {
			return
		}
		p.note(false, fmt.Sprintf("unhealthy after %d failed polls: %v", p.failed, err))
		p.reports.send(ctx, p.server.name, false, nil)
		return
	}
	p.failed = 0
	p.note(true, "healthy")
	p.reports.send(ctx, p.server.name, true, p.load(answer))
}

// note logs a change.
func (p *poller) note(healthy bool, text string) {
	if !p.known || p.healthy != healthy {
		log.Printf("%s: %s", p.server.name, text)
	}
	p.known, p.healthy = true, healthy
}

// load returns the share of its capacity that the server has in use, nil if it does not say. That says nothing of its
// health: the clients do not use the admin API.
func (p *poller) load(ctx context.Context) *float64 {
	if p.server.admin == "" {
		return nil
	}
	n, err := p.count(ctx, p.server)
	unknown := ""
	if err != nil {
		unknown = "load unknown: " + err.Error()
	}
	if (unknown == "") != (p.unknown == "") {
		text := unknown
		if text == "" {
			text = "load known again"
		}
		log.Printf("%s: %s", p.server.name, text)
	}
	p.unknown = unknown
	if err != nil {
		return nil
	}
	share := float64(n) / float64(p.server.capacity)
	if share > 10 {
		share = 10 // the most that server_heartbeat takes
	}
	return &share
}
