// Package database connects to the primary of one or several PostgreSQL servers.
package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// URLs is a flag that may be given several times: a connection string each.
type URLs []string

func (u *URLs) String() string { return strings.Join(*u, " ") }

// Set adds a connection string.
func (u *URLs) Set(url string) error {
	*u = append(*u, url)
	return nil
}

// primary is a driver.Connector: of several servers it takes the first that is not a standby.
type primary struct {
	servers  []*pq.Connector
	patience time.Duration
}

func (p *primary) Driver() driver.Driver { return &pq.Driver{} }

func (p *primary) Connect(ctx context.Context) (connection driver.Conn, err error) {
	var failures []string
	several := len(p.servers) > 1
	for _, server := range p.servers {
		// Each server has a share of the time to take the connection.
		limit := int64(p.patience) / int64(len(p.servers)+1)
		connection, err = server.Connect(context.WithValue(ctx, limitKey{}, &limit))
		if err == nil && several {
			err = notStandby(ctx, connection)
		}
		if err == nil {
			atomic.StoreInt64(&limit, int64(p.patience))
			return connection, nil
		}
		failures = append(failures, err.Error())
	}
	if !several {
		return nil, err
	}
	return nil, fmt.Errorf("no primary: %s; %w", strings.Join(failures[:len(failures)-1], "; "), err)
}

// notStandby closes the connection if it returns an error.
func notStandby(ctx context.Context, connection driver.Conn) error {
	rows, err := connection.(driver.QueryerContext).QueryContext(ctx, "SELECT pg_is_in_recovery()", nil)
	if err == nil {
		values := make([]driver.Value, 1)
		if err = rows.Next(values); err == nil && values[0] != false {
			err = errors.New("it is a standby")
		}
		rows.Close()
	}
	if err != nil {
		connection.Close()
	}
	return err
}

// Connector returns a connector to one server. Its error does not have the connection string, or a part of it that may be
// of a password.
func Connector(url string) (*pq.Connector, error) {
	connector, err := pq.NewConnector(url)
	if err == nil {
		return connector, nil
	}
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return nil, errors.New("the connection string is not a valid URL; in a password, percent-encode what is not a letter or a digit")
	}
	return nil, errors.New("the connection string is neither a valid URL nor of the form name=value name='value'")
}

// Open returns a pool of at most so many connections to the first of the servers that is a primary. Without a
// connection string libpq's variables (PGHOST and so on) say where it is. A server that gives no answer within the
// patience is taken for lost.
func Open(urls URLs, connections int, patience time.Duration) (*sql.DB, error) {
	if len(urls) == 0 {
		urls = URLs{""}
	}
	servers := &primary{patience: patience}
	for _, url := range urls {
		server, err := Connector(url)
		if err != nil {
			return nil, err
		}
		server.Dialer(dialer{patience})
		servers.servers = append(servers.servers, server)
	}
	db := sql.OpenDB(servers)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxLifetime(5 * time.Minute)
	return db, nil
}

// Reconnect drops the idle connections: after a failover they may lead to a server that is a standby now.
func Reconnect(db *sql.DB, connections int) {
	db.SetMaxIdleConns(-1)
	db.SetMaxIdleConns(connections)
}
