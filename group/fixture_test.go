package group_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/group"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// host is the receiver: a server that knows its address.
type host struct {
	address string
	ran     atomic.Int64  // commands that began
	release chan struct{} // what Wait waits for
}

// Where tells the address of the server that it runs on.
type Where struct{}

func (Where) Run(_ context.Context, h *host) (string, error) {
	h.ran.Add(1)
	return h.address, nil
}

// Of is Where with a key.
type Of struct{ K string }

func (c Of) Key() string { return c.K }

func (Of) Run(_ context.Context, h *host) (string, error) { return h.address, nil }

// Wait is Where when its server releases it.
type Wait struct{}

func (Wait) Run(ctx context.Context, h *host) (string, error) {
	h.ran.Add(1)
	select {
	case <-h.release:
		return h.address, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Harmless is a Wait that may run twice, or panics when it is asked.
type Harmless struct {
	Wait
	Panics bool `json:"-"`
}

func (c Harmless) Idempotent() bool {
	if c.Panics {
		panic("not today")
	}
	return true
}

// Count sends the numbers below N, and waits to be released at Pause.
type Count struct{ N, Pause int }

func (c Count) Stream(ctx context.Context, h *host, send func(string) error) error {
	h.ran.Add(1)
	for n := range c.N {
		if n == c.Pause {
			select {
			case <-h.release:
			case <-ctx.Done():
			}
		}
		if err := send(fmt.Sprint(h.address, " ", n)); err != nil {
			return err
		}
	}
	return nil
}

// Echo answers inputs with themselves and the address.
type Echo struct{}

func (Echo) Exchange(_ context.Context, h *host, inputs iter.Seq2[string, error], send func(string) error) error {
	for input, err := range inputs {
		if err != nil {
			return err
		}
		if err := send(h.address + " " + input); err != nil {
			return err
		}
	}
	return nil
}

var set = func() *codec.Set[*host] {
	set := codec.NewSet[*host](json.Format{})
	codec.Unary[Where](set, 1)
	codec.Unary[Of](set, 2)
	codec.Unary[Wait](set, 3)
	codec.Unary[Harmless](set, 4)
	codec.Stream[Count](set, 5)
	codec.Exchange[Echo](set, 6)
	return set
}()

// where and wait are Where and Wait as Do, Results and Send take them.
var (
	where = base.Unary[*host, string, Where]{}
	wait  = base.Unary[*host, string, Wait]{}
)

var quiet = slog.New(slog.DiscardHandler)

// cluster is servers in memory, and the network before them.
type cluster struct {
	t testing.TB

	mu      sync.Mutex // protects what follows
	servers map[string]*machine
}

type machine struct {
	*host
	server   *server.Server
	listener *memnet.Listener
	conns    []*memnet.Conn
	dials    int
	refuses  bool // to be dialed
}

// start runs servers, until the test's end.
func start(t testing.TB, addresses ...string) *cluster {
	c := &cluster{t: t, servers: make(map[string]*machine)}
	for _, address := range addresses {
		c.up(address, server.Conf[*host]{})
	}
	t.Cleanup(func() {
		for address := range c.servers {
			c.down(address)
		}
	})
	return c
}

// up starts a server.
func (c *cluster) up(address string, conf server.Conf[*host]) *machine {
	c.t.Helper()
	h := &host{address: address, release: make(chan struct{})}
	conf.Logger = quiet
	s, err := server.New(set.Server(), h, conf)
	if err != nil {
		c.t.Fatal(err)
	}
	m := &machine{host: h, server: s, listener: memnet.Listen()}
	m.listener.OnDial(func(client, server *memnet.Conn) {
		c.mu.Lock()
		defer c.mu.Unlock()
		m.conns = append(m.conns, client)
		m.dials++
	})
	go s.Serve(m.listener)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers[address] = m
	return m
}

// at returns the server at an address.
func (c *cluster) at(address string) *machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.servers[address]
}

// down stops a server.
func (c *cluster) down(address string) { c.at(address).server.Close() }

// cut breaks the connections to a server.
func (c *cluster) cut(address string) {
	m := c.at(address)
	c.mu.Lock()
	conns := m.conns
	m.conns = nil
	c.mu.Unlock()
	for _, conn := range conns {
		conn.Cut(memnet.RST)
	}
}

// refuse makes a server that runs refuse to be dialed, or not.
func (c *cluster) refuse(address string, refuses bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers[address].refuses = refuses
}

func (c *cluster) dial(address string) client.Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		c.mu.Lock()
		m := c.servers[address]
		refused := m == nil || m.refuses
		c.mu.Unlock()
		if refused {
			return nil, syscall.ECONNREFUSED
		}
		return m.listener.Dial(ctx)
	}
}

// join returns a group of the cluster's servers, until the test's end.
func (c *cluster) join(conf group.Conf) *group.Group[*host] {
	c.t.Helper()
	g, err := group.New(context.Background(), set.Client(), c.conf(conf))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { g.Close() })
	synctest.Wait() // until all are connected
	return g
}

func (c *cluster) conf(conf group.Conf) group.Conf {
	if conf.Dial == nil {
		conf.Dial = c.dial
	}
	if conf.Client.Logger == nil {
		conf.Client.Logger = quiet
	}
	return conf
}

// asks sends n commands Where and returns how many each server ran.
func asks(t testing.TB, g *group.Group[*host], n int) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for range n {
		address, err := cmdstream.Do(t.Context(), g, Where{})
		if err != nil {
			t.Errorf("Where: %v", err)
		}
		got[address]++
	}
	return got
}

// want checks an error's outcome and what errors.Is must find in it.
func want(t testing.TB, err error, outcome base.Outcome, is ...error) {
	t.Helper()
	var e *base.Error
	if !errors.As(err, &e) {
		t.Errorf("got %v (%T), want a *base.Error", err, err)
		return
	}
	if e.Outcome != outcome {
		t.Errorf("got the outcome %v, want %v: %v", e.Outcome, outcome, err)
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is does not find %q in %q", target, err)
		}
	}
}

// took checks how much simulated time has passed since begin.
func took(t testing.TB, begin time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(begin); got < want || got > want+3*time.Millisecond {
		t.Errorf("it took %v, want %v", got, want)
	}
}

// bubble runs a test in simulated time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}
