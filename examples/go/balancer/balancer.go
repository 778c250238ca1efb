// Package balancer calls gxy_balancer from Go, by any driver: database/sql (lib/pq, pgx's stdlib) or pgx itself.
//
//	client := balancer.ForDB(db)                      // *sql.DB
//	client := balancer.ForPgx[pgx.Row](pool)          // *pgxpool.Pool
//	server, err := client.Assign(ctx, "2171", balancer.Region("IL"))
//	if errors.Is(err, balancer.ErrUnknownRoom) { ... }
//
// A client repeats calls that failed for a reason that passes (see Retry), with growing random pauses, until the context
// ends. In a transaction of the caller a failed statement has ended the transaction, so ForTx and ForPgxTx never repeat:
// the caller repeats the whole transaction (Temporary says whether that is worth it).
//
// When the context ends, lib/pq and pgx send the server a cancel request, so that the call does not wait on there either.
package balancer

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"
)

// Row is the row of a query: *sql.Row, and pgx.Row of every version.
type Row interface {
	Scan(dest ...interface{}) error
}

// query sends one query with parameters; without repeat never twice.
type query func(ctx context.Context, repeat bool, sql string, args ...interface{}) Row

// Client calls the functions of gxy_balancer. It is safe for concurrent use if the connection it was made from is.
type Client struct {
	query   query
	inTx    bool    // of the caller
	primary *Client // for calls that met a standby; nil: none
	retry   Retry
}

// Retry says how calls are repeated that failed for a reason that passes: a deadlock (40P01), a serialization failure
// (40001), a wait longer than gxy_balancer.assign_timeout (55P03), and for calls that may be made twice (all but Release
// and Evacuate) a lost connection. What was never sent, because no connection was made, is repeated for all calls.
type Retry struct {
	Attempts int           // in all, at least 1
	Pause    time.Duration // the longest pause after the first failure; it doubles with each, up to MaxPause
	MaxPause time.Duration
}

// DefaultRetry is used until Client.WithRetry sets another. Its pauses add up to 4 seconds at most.
var DefaultRetry = Retry{Attempts: 8, Pause: 50 * time.Millisecond, MaxPause: time.Second}

// SQLConnection is *sql.DB, *sql.Conn or *sql.Tx.
type SQLConnection interface {
	QueryRowContext(ctx context.Context, query string, args ...interface{}) *sql.Row
}

// PgxConnection is *pgxpool.Pool, *pgx.Conn or pgx.Tx, where R is pgx.Row. So no version of pgx is imported here.
type PgxConnection[R Row] interface {
	QueryRow(ctx context.Context, sql string, args ...interface{}) R
}

func overSQL(connection SQLConnection) query {
	return func(ctx context.Context, _ bool, sql string, args ...interface{}) Row {
		return connection.QueryRowContext(ctx, sql, args...)
	}
}

// overDB: *sql.DB itself repeats a query whose connection was lost, also one that the server may have carried out. It does
// not repeat one on a *sql.Conn.
func overDB(db *sql.DB) query {
	return func(ctx context.Context, repeat bool, sql string, args ...interface{}) Row {
		if repeat {
			return db.QueryRowContext(ctx, sql, args...)
		}
		return &sentOnce{ctx, db, sql, args}
	}
}

// sentOnce is the row of a query that is sent once, when the row is read.
type sentOnce struct {
	ctx  context.Context
	db   *sql.DB
	sql  string
	args []interface{}
}

func (r *sentOnce) Scan(dest ...interface{}) error {
	// Connections may have been lost while they were idle. Each that fails leaves the pool.
	for idle := r.db.Stats().Idle; ; idle-- {
		connection, err := r.db.Conn(r.ctx)
		if err != nil {
			return &unsent{err}
		}
		if err = connection.PingContext(r.ctx); err == nil {
			defer connection.Close()
			return connection.QueryRowContext(r.ctx, r.sql, r.args...).Scan(dest...)
		}
		connection.Close()
		if idle <= 0 || !errors.Is(err, driver.ErrBadConn) {
			return &unsent{err}
		}
	}
}

func overPgx[R Row](connection PgxConnection[R]) query {
	return func(ctx context.Context, _ bool, sql string, args ...interface{}) Row {
		return connection.QueryRow(ctx, sql, args...)
	}
}

// ForDB returns a client over database/sql.
func ForDB(db *sql.DB) *Client {
	return &Client{query: overDB(db), retry: DefaultRetry}
}

// ForTx returns a client in a transaction (*sql.Tx, or a *sql.Conn that has begun one). It never repeats a call.
func ForTx(tx SQLConnection) *Client {
	return &Client{query: overSQL(tx), inTx: true, retry: Retry{Attempts: 1}}
}

// ForPgx returns a client over a pool of pgx: ForPgx[pgx.Row](pool).
func ForPgx[R Row](pool PgxConnection[R]) *Client {
	return &Client{query: overPgx(pool), retry: DefaultRetry}
}

// ForPgxTx returns a client in a transaction of pgx. It never repeats a call.
func ForPgxTx[R Row](tx PgxConnection[R]) *Client {
	return &Client{query: overPgx(tx), inTx: true, retry: Retry{Attempts: 1}}
}

// WithRetry returns a client like this one that repeats calls otherwise.
func (c *Client) WithRetry(retry Retry) *Client {
	changed := *c
	changed.retry = retry
	return &changed
}

// WithPrimary returns a client like this one that repeats on the primary what a standby refuses (25006): a standby
// answers calls for rooms that have a server, and a new room needs the primary.
func (c *Client) WithPrimary(primary *Client) *Client {
	changed := *c
	changed.primary = primary
	return &changed
}

// An Option is an optional argument of a call.
type Option func(*options)

type options struct {
	region, users, load, target, rooms interface{}
}

func given(list []Option) (o options) {
	for _, option := range list {
		option(&o)
	}
	return o
}

// Region is where a new room should go (Assign); several, comma-separated, the preferred one first.
func Region(region string) Option { return func(o *options) { o.region = region } }

// ExpectedUsers is how many users a new room will have (Assign). 0: unknown.
func ExpectedUsers(n int) Option {
	return func(o *options) {
		if n != 0 {
			o.users = n
		}
	}
}

// Users is how many users are in the room (Touch), for services whose sessions are not in this database.
func Users(n int) Option { return func(o *options) { o.users = n } }

// Load is the share of its capacity that a server measures in use (Heartbeat): 0 to 10, 0.42 is 42%.
func Load(share float64) Option { return func(o *options) { o.load = share } }

// To is the server that rooms are moved to (Evacuate); without it they are spread.
func To(server string) Option { return func(o *options) { o.target = server } }

// AtMost is how many rooms are moved (Evacuate); without it all are, and the server is set draining first.
func AtMost(rooms int) Option { return func(o *options) { o.rooms = rooms } }

// Assign returns the room's server, the same for every caller; it assigns one if the room has none. Options: Region,
// ExpectedUsers.
func (c *Client) Assign(ctx context.Context, room string, list ...Option) (server string, err error) {
	o := given(list)
	err = c.call(ctx, repeatable, &server, "SELECT get_or_assign_server($1::text, $2::text, $3::int)", room, o.region, o.users)
	return server, err
}

// RoomServer returns the room's server, or "" if it has none. It only looks: for listings, not for routing joins.
func (c *Client) RoomServer(ctx context.Context, room string) (server string, err error) {
	err = c.call(ctx, repeatable, &server, "SELECT coalesce(room_server($1::text), '')", room)
	return server, err
}

// Touch renews the room's lease; false: the room has no server any more. Option: Users.
func (c *Client) Touch(ctx context.Context, room string, list ...Option) (known bool, err error) {
	err = c.call(ctx, repeatable, &known, "SELECT touch_room($1::text, $2::int)", room, given(list).users)
	return known, err
}

// Release frees the room now, also if users are in it; false: it had no server.
func (c *Client) Release(ctx context.Context, room string) (released bool, err error) {
	err = c.call(ctx, once, &released, "SELECT release_room($1::text)", room)
	return released, err
}

// Heartbeat reports the health of a server; true: its health has changed; false also for a server that is not in the
// pool. Option: Load.
func (c *Client) Heartbeat(ctx context.Context, server string, healthy bool, list ...Option) (changed bool, err error) {
	err = c.call(ctx, repeatable, &changed, "SELECT server_heartbeat($1::text, $2::boolean, $3::double precision::real)",
		server, healthy, given(list).load)
	return changed, err
}

// The states of a server.
const (
	Online   = "online"
	Draining = "draining" // keeps its rooms, gets no new ones
	Offline  = "offline"
)

// ServerState returns the state in force.
func (c *Client) ServerState(ctx context.Context, server string) (state string, err error) {
	err = c.call(ctx, repeatable, &state, "SELECT server_state($1::text)", server)
	return state, err
}

// SetServerState sets the state that an operator wants, and returns the one in force.
func (c *Client) SetServerState(ctx context.Context, server, state string) (inForce string, err error) {
	err = c.call(ctx, repeatable, &inForce, "SELECT set_server_state($1::text, $2::text)", server, state)
	return inForce, err
}

// Evacuate moves the rooms of a server elsewhere, and returns how many it has moved. Options: To, AtMost.
func (c *Client) Evacuate(ctx context.Context, server string, list ...Option) (moved int64, err error) {
	o := given(list)
	err = c.call(ctx, once, &moved, "SELECT evacuate_server($1::text, $2::text, $3::int)", server, o.target, o.rooms)
	return moved, err
}

// Whether a call may be made twice without another result: if its connection is lost, it may have been carried out.
const (
	repeatable = true
	once       = false
)

// call makes a call until it succeeds, fails for a reason that does not pass, or the context ends.
func (c *Client) call(ctx context.Context, repeat bool, result interface{}, statement string, args ...interface{}) error {
	pause := c.retry.Pause
	for attempt := 1; ; attempt++ {
		err := Wrap(ctx, c.query(ctx, repeat, statement, args...).Scan(result))
		if err == nil {
			return nil
		}
		if c.primary != nil && errors.Is(err, ErrReadOnly) {
			return c.primary.call(ctx, repeat, result, statement, args...)
		}
		var known *Error
		if !repeat && !c.inTx && !notSent(err) && connectionLost(err) && errors.As(err, &known) {
			known.mayBeDone = true
			return err
		}
		if attempt >= c.retry.Attempts || !(passes(err) || notSent(err) || repeat && connectionLost(err)) || !wait(ctx, pause) {
			return err
		}
		if pause *= 2; pause > c.retry.MaxPause {
			pause = c.retry.MaxPause
		}
	}
}
