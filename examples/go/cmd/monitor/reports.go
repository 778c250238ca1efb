package main

import (
	"context"
	"errors"
	"log"
	"sync"
	"time"

	"example.org/gxy_balancer/balancer"
)

// reports sends heartbeats, and logs when the database stops to take them, and when it takes them again.
type reports struct {
	client    *balancer.Client
	timeout   time.Duration
	reconnect func() // drops connections that lead to a standby

	mutex   sync.Mutex
	down    bool
	strange map[string]bool // servers that are not in the pool
}

// send reports one server.
func (r *reports) send(ctx context.Context, server string, healthy bool, load *float64) {
	patience, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var options []balancer.Option
	if load != nil {
		options = append(options, balancer.Load(*load))
	}
	changed, err := r.client.Heartbeat(patience, server, healthy, options...)
	state := ""
	if err == nil && (changed || r.isNew(server)) {
		state, err = r.client.ServerState(patience, server)
	}
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, balancer.ErrReadOnly) {
		r.reconnect()
	}
	r.note(server, changed, state, err)
}

// isNew returns whether the server has not been reported yet, or was not in the pool when it was.
func (r *reports) isNew(server string) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	strange, known := r.strange[server]
	return strange || !known
}

// note logs what is new.
func (r *reports) note(server string, changed bool, state string, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.strange == nil {
		r.strange = map[string]bool{}
	}
	strange := errors.Is(err, balancer.ErrUnknownServer)
	if err != nil && !strange {
		if !r.down {
			log.Print("the database takes no reports: ", err)
		}
		r.down = true
		return
	}
	if r.down {
		log.Print("the database takes reports again")
	}
	r.down = false
	if strange && !r.strange[server] {
		log.Printf("%s is not in the pool", server)
	}
	if changed || !strange && r.strange[server] {
		log.Printf("%s is reported, and %s", server, state)
	}
	if state != "" || strange {
		r.strange[server] = strange
	}
}
