package faults

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// world is a server, the network around it, and who makes both fail.
type world struct {
	t       *testing.T
	conf    server.Conf[*effects]
	effects *effects
	event   func(format string, args ...any)

	mu       sync.Mutex // protects what follows
	random   *rand.Rand
	healed   bool
	servers  []*server.Server // all that ever were; the last one serves
	listener *memnet.Listener
	conns    []*memnet.Conn
	clients  []*client.Client[*effects]
}

func newWorld(t *testing.T, seed uint64, conf server.Conf[*effects], event func(format string, args ...any)) *world {
	w := &world{t: t, conf: conf, effects: newEffects(), event: event, random: rand.New(rand.NewPCG(seed, 1))}
	w.start()
	return w
}

// start starts a server in place of the one before, which goes on as it is.
func (w *world) start() (old *server.Server) {
	conf := w.conf
	conf.Invoker, conf.Logger, conf.ReceiveTimeout = invoker{w.effects}, quiet, time.Second
	conf.LostConnCallback = func(_ net.Addr, err error) { w.event("the server has lost a connection: %v", err) }
	s, err := server.New(serverCodec{}, w.effects, conf)
	if err != nil {
		w.t.Fatal(err)
	}
	l := memnet.Listen()
	l.OnDial(w.spoil)
	go s.Serve(l)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.servers) > 0 {
		old = w.servers[len(w.servers)-1]
	}
	w.servers, w.listener = append(w.servers, s), l
	return old
}

func (w *world) server() *server.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.servers[len(w.servers)-1]
}

// spoil plans the faults of a new connection.
func (w *world) spoil(c, s *memnet.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c, s)
	if w.healed {
		return
	}
	r := w.random
	for _, end := range []*memnet.Conn{c, s} {
		plan := memnet.Plan{Seed: r.Uint64()}
		if r.IntN(2) == 0 {
			plan.Cut = []memnet.Kind{memnet.FIN, memnet.RST, memnet.Stall, memnet.Partition}[r.IntN(4)]
			plan.At = r.Int64N(1 << (4 + r.IntN(15)))
		}
		if r.IntN(3) == 0 {
			plan.Delay = time.Duration(r.IntN(3000)) * time.Microsecond
		}
		if r.IntN(4) == 0 {
			plan.ShortReads = 1 + r.IntN(100)
		}
		if r.IntN(4) == 0 {
			plan.ShortDeliveries = 100 + r.IntN(10_000)
		}
		end.SetPlan(plan)
	}
}

func (w *world) dial(ctx context.Context) (net.Conn, error) {
	w.mu.Lock()
	l := w.listener
	w.mu.Unlock()
	return l.Dial(ctx)
}

// client makes a client; the first dial may take several attempts.
func (w *world) client(conf client.Conf) *client.Client[*effects] {
	for {
		c, err := client.NewReconnect(context.Background(), clientCodec{}, w.dial, conf)
		if err == nil {
			w.clients = append(w.clients, c)
			return c
		}
		w.event("the first dial: %v", err)
		time.Sleep(time.Millisecond)
	}
}

// adversary makes things fail until stop.
func (w *world) adversary(r *rand.Rand, restarts bool, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(1+r.IntN(60)) * time.Millisecond):
		}
		choice := r.IntN(6)
		switch {
		case restarts && choice == 0:
			w.event("the server is closed, and another one started")
			w.start().Close()
		case restarts && choice == 1:
			w.event("the server drains, and another one is started")
			old, patience := w.start(), time.Duration(r.IntN(500))*time.Millisecond
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				old.Shutdown(ctx)
			}()
		default:
			kind := []memnet.Kind{memnet.FIN, memnet.RST, memnet.Stall, memnet.Partition}[r.IntN(4)]
			w.event("all connections: %v", kind)
			w.mu.Lock()
			for _, c := range w.conns { // each direction by itself
				if r.IntN(2) == 0 {
					c.Cut(kind)
				}
			}
			w.conns = w.conns[max(0, len(w.conns)-8):]
			w.mu.Unlock()
		}
	}
}

// heal lets nothing fail any more.
func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.healed = true
	for _, c := range w.conns {
		c.Cut(memnet.RST)
	}
}

func (w *world) close() {
	for _, c := range w.clients {
		c.Close()
	}
	for _, s := range w.servers {
		s.Close()
	}
}
