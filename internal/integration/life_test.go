package integration_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// A command that is given up ends at the client at once; on the framed wire the
// server hears of it.
func TestCancel(t *testing.T) {
	matrix(t, func(t *testing.T, k kind) {
		p := k.connect(t, client.Conf{}, server.Conf[*desk]{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-p.desk.waiting
			cancel()
		}()
		_, err := cmdstream.Do(ctx, p.client, wait{})
		if !errors.Is(err, base.ErrCanceled) || !errors.Is(err, context.Canceled) || base.OutcomeOf(err) != base.Unknown {
			t.Errorf("the command ended with %v (%v)", err, base.OutcomeOf(err))
		}
		if k.framed {
			receive(t, p.desk.givenUp)
		}
		for n, err := range cmdstream.Results(soon(t), p.client, count{10_000}) {
			if err != nil {
				t.Error(err)
			}
			if n == 3 {
				break // without this one's 9,997 further results
			}
		}
		if k.framed {
			receive(t, p.desk.givenUp)
		}
		unary(t, p)
	})
}

// The server is closed, and another one started in its place.
func TestReconnect(t *testing.T) {
	matrix(t, func(t *testing.T, k kind) {
		states := make(chan client.StateChange, 1000)
		p := k.connect(t, client.Conf{StateCallback: func(s client.StateChange) { states <- s }}, server.Conf[*desk]{})
		unary(t, p)
		results := make(chan base.AsyncResult, 1)
		if _, err := p.client.Send(waitCmd{}, results); err != nil {
			t.Fatal(err)
		}
		receive(t, p.desk.waiting)
		if err := p.server.Close(); err != nil {
			t.Error(err)
		}
		receive(t, p.desk.givenUp)
		if result := receive(t, results); !errors.Is(result.Err, base.ErrConnLost) || base.OutcomeOf(result.Err) != base.Unknown {
			t.Errorf("the open command ended with %v (%v)", result.Err, base.OutcomeOf(result.Err))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			unary(t, p) // it waits
		}()
		time.Sleep(50 * time.Millisecond)
		p.serve(t, server.Conf[*desk]{})
		<-done

		for _, want := range []client.State{client.Connected, client.Connecting, client.Connected} {
			change := receive(t, states)
			for change.Attempt > 0 {
				change = receive(t, states)
			}
			if change.State != want {
				t.Errorf("the client is %v, want %v", change.State, want)
			}
		}
	})
}

// All kinds are idle at the same time, so that it takes no longer than one would.
func TestKeepalive(t *testing.T) {
	const patience = 1500 * time.Millisecond // the server's
	serverConf := server.Conf[*desk]{ReceiveTimeout: patience}
	pinging := client.Conf{KeepaliveTime: patience / 3, KeepaliveIntvl: patience / 3}
	type idle struct {
		*pair
		name    string
		changes *atomic.Int64
	}
	var alive, lost []idle
	eachKind(func(name string, k kind) {
		start := func(conf client.Conf) idle {
			changes := new(atomic.Int64)
			conf.StateCallback = func(client.StateChange) { changes.Add(1) }
			return idle{k.connect(t, conf, serverConf), name, changes}
		}
		alive = append(alive, start(pinging))
		lost = append(lost, start(client.Conf{}))
	})
	time.Sleep(patience * 3 / 2)
	for _, one := range alive {
		if n := one.changes.Load(); n != 1 {
			t.Errorf("%s: the client that pings has seen %d changes of its state, want 1: connected", one.name, n)
		}
		unary(t, one.pair)
	}
	for _, one := range lost {
		if n := one.changes.Load(); n < 2 {
			t.Errorf("%s: the client that does not ping has kept its connection", one.name)
		}
	}
}

// The server's bytes stop coming, without an end of the connection.
func TestKeepaliveFindsSilence(t *testing.T) {
	const interval = 300 * time.Millisecond
	clients := make(map[string]*client.Client[*desk])
	eachKind(func(name string, k kind) {
		p := k.connect(t, client.Conf{}, server.Conf[*desk]{})
		nc, err := p.place.raw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		deaf := &deafConn{Conn: nc}
		nc = deaf
		if p.place.clientTLS != nil {
			nc = tls.Client(deaf, p.place.clientTLS)
		}
		c, err := client.New(soon(t), k.codecs.client, nc, client.Conf{
			Transport: k.wire, Logger: quiet, KeepaliveTime: interval, KeepaliveIntvl: interval,
		})
		if err != nil {
			t.Fatal(name, err)
		}
		t.Cleanup(func() { c.Close() })
		deaf.deaf.Store(true)
		clients[name] = c
	})
	ctx := soon(t)
	for name, c := range clients {
		select {
		case <-c.Done():
			if !errors.Is(c.Err(), base.ErrKeepalive) {
				t.Errorf("%s: the client ended with %v", name, c.Err())
			}
		case <-ctx.Done():
			t.Errorf("%s: the client has not noticed", name)
		}
	}
}

// deafConn is a net.Conn that hears nothing any more once deaf is set.
type deafConn struct {
	net.Conn
	deaf atomic.Bool
}

func (c *deafConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if !c.deaf.Load() {
			return n, err
		}
		if err != nil {
			return 0, err
		}
	}
}
