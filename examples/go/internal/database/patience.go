package database

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// impatient is a connection on which each answer has to come within a time. lib/pq would wait until the kernel gives up,
// after many minutes, for a server that has vanished without a word: the end of a context makes it send a cancel request,
// to that same server, and wait on.
type impatient struct {
	net.Conn
	limit *int64 // nanoseconds
}

func (c *impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(time.Duration(atomic.LoadInt64(c.limit)))); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

type limitKey struct{}

// dialer makes such connections. A context with limitKey brings the limit, which Connect changes later.
type dialer struct{ limit time.Duration }

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	limit, ok := ctx.Value(limitKey{}).(*int64)
	if !ok { // a cancel request
		limit = new(int64)
		*limit = int64(d.limit)
	}
	plain := net.Dialer{Timeout: time.Duration(atomic.LoadInt64(limit))}
	connection, err := plain.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &impatient{connection, limit}, nil
}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}
