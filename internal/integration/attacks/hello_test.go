package attacks

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/wire"
)

// hellos are attacks before the first command.
func hellos() []row {
	return []row{
		{
			name: "stalled hello", limit: "`SysDataSendTimeout`, 10 s",
			conf:     func(l *limits) { l.server.SysDataSendTimeout = 50 * time.Millisecond },
			lift:     func(l *limits) { l.server.SysDataSendTimeout = time.Hour },
			attack:   stalledHello,
			counters: []string{"FailedHellos"},
			sees:     []sight{{atServer, base.ErrHello, base.Unknown}},
			also:     []string{"TestAStalledHelloIsCut"},
		},
		{
			name: "one byte a second", limit: "`SysDataSendTimeout`, 10 s for all of the hello",
			conf:     func(l *limits) { l.server.SysDataSendTimeout = 50 * time.Millisecond },
			lift:     func(l *limits) { l.server.SysDataSendTimeout = time.Hour },
			attack:   oneByte,
			counters: []string{"FailedHellos"},
			sees:     []sight{{atServer, base.ErrHello, base.Unknown}},
		},
		{
			name: "hello flood", limit: "`MaxHellos`, 1024",
			conf:     func(l *limits) { l.server.MaxHellos = 4 },
			lift:     func(l *limits) { l.server.MaxHellos = 1000 },
			attack:   helloFlood,
			counters: []string{"TooManyHellos"},
			sees:     []sight{{atClient, base.ErrConnLost, base.NotSent}},
			note:     "it is closed at once",
			also:     []string{"TestHellosHaveALimitOfTheirOwn"},
		},
		{
			name: "TLS handshake flood", limit: "`MaxHellos`, 1024",
			conf: func(l *limits) {
				l.server.MaxHellos = 4
				l.server.TLSConfig = serverTLS()
			},
			lift:     func(l *limits) { l.server.MaxHellos = 1000 },
			attack:   helloFlood,
			counters: []string{"TooManyHellos"},
			sees:     []sight{{atClient, base.ErrConnLost, base.NotSent}},
			note:     "it is closed at once",
		},
		{
			name: "descriptors exhausted", limit: "the system's; accepting goes on after 5 ms to 1 s",
			why:      "the limit is the system's: one that has descriptors lets everybody in",
			attack:   noDescriptors,
			counters: []string{"AcceptFailures"},
			sees:     []sight{{atServer, syscall.EMFILE, base.Unknown}},
			note:     "who comes waits",
			also:     []string{"TestAcceptGoesOnWithoutFileDescriptors", "TestAServerWithFewDescriptors"},
		},
		{
			name: "connection cap", limit: "`WorkersCount`, 1024",
			conf:     func(l *limits) { l.server.WorkersCount = 6 },
			lift:     func(l *limits) { l.server.WorkersCount = 100 },
			attack:   tooManyConnections,
			counters: []string{"FullHellos"},
			sees:     []sight{{atClient, base.ErrFull, base.Rejected}},
			also:     []string{"TestOneClientTooMany"},
		},
		{
			name: "reconnect storm", limit: "`client.Conf.Backoff`, with full jitter; `WorkersCount` and `FullRetryAfter`",
			conf: func(l *limits) {
				l.server.WorkersCount, l.server.FullRetryAfter = stormSize+2, 20*time.Millisecond
				l.server.ReceiveTimeout = 100 * time.Millisecond
				l.client.KeepaliveTime, l.client.KeepaliveIntvl = 20*time.Millisecond, 20*time.Millisecond
			},
			lift: func(l *limits) {
				l.server.WorkersCount = 1000
				l.client.Backoff.First = time.Nanosecond
			},
			attack:   reconnectStorm,
			counters: []string{"FullHellos", "Idle"},
			sees:     []sight{{atState, base.ErrFull, base.Rejected}},
			note:     "a wait, then all goes on",
			also:     []string{"TestBackoff", "TestRetryAfter", "TestAllClientsComeBack"},
		},
		{
			name: "a peer of another kind", limit: "the first byte that does not fit",
			why:      "what is no hello can't be answered: a hello is",
			attack:   foreignPeer,
			counters: []string{"FailedHellos"},
			sees:     []sight{{atServer, base.ErrProtocol, base.Unknown}},
			note:     "the error names what it looks like",
			also:     []string{"TestForeignPeersAreNamedAndClosed"},
		},
		{
			name: "a hello without end", limit: "8 KiB",
			why:      "the size is the wire's, H4: one of 8 KiB is taken",
			attack:   largeHello,
			counters: []string{"FailedHellos"},
			sees:     []sight{{atServer, base.ErrProtocol, base.Unknown}},
		},
		{
			name: "wrong credentials", limit: "`Authenticate`",
			conf: func(l *limits) {
				l.server.Authenticate = func(ctx context.Context, hello server.ClientHello) (context.Context, string, error) {
					if string(hello.Credentials) == "stranger" {
						return nil, "", errors.New("nobody knows the stranger")
					}
					return ctx, string(hello.Credentials), nil
				}
			},
			lift: func(l *limits) {
				l.server.Authenticate = func(ctx context.Context, hello server.ClientHello) (context.Context, string, error) {
					return ctx, string(hello.Credentials), nil
				}
			},
			attack:   wrongCredentials,
			counters: []string{"Unauthorized"},
			sees:     []sight{{atClient, base.ErrUnauthorized, base.Rejected}},
			also:     []string{"TestAuthenticate", "TestCredentialsThatNobodyChecks"},
		},
		{
			name: "a server that stalls its hello", limit: "`client.Conf.SysDataReceiveTimeout`, 10 s",
			conf:     func(l *limits) { l.client.SysDataReceiveTimeout = 50 * time.Millisecond },
			lift:     func(l *limits) { l.client.SysDataReceiveTimeout = time.Hour },
			attack:   serverStalls,
			counters: []string{"client.Stats.FailedAttempts"},
			sees:     []sight{{atState, base.ErrHello, base.NotSent}, {atClient, base.ErrHello, base.NotSent}},
		},
	}
}

// silent dials so many connections, on which nothing is said.
func (a *arena) silent(n int) (conns []net.Conn) {
	for range n {
		nc, err := a.dialBare()
		if err != nil {
			continue // the server is being shut down
		}
		a.atEnd(func() { nc.Close() })
		conns = append(conns, nc)
	}
	return conns
}

func stalledHello(a *arena) {
	before := a.stat("FailedHellos")
	for i, nc := range a.silent(20) {
		nc.Write(wire.Magic[:i%5])
	}
	a.middle()
	a.counted("FailedHellos", before+20)
	a.expect(a.stat("FailedHellos") == before+20, "not all of them were cut")
}

func oneByte(a *arena) {
	hello, err := wire.AppendClientHello(nil, wire.ClientHello{Info: make([]byte, 200)})
	if err != nil {
		a.t.Error(err)
	}
	for _, nc := range a.silent(10) {
		go func() {
			for i := range hello {
				if _, err := nc.Write(hello[i : i+1]); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
	}
	a.middle()
	a.counted("FailedHellos", 10)
}

func helloFlood(a *arena) {
	a.silent(20)
	a.middle()
	a.counted("TooManyHellos", 16)
	a.connect(a.limits.client)
	a.connect(a.limits.client)
}

// gate is a listener that can be without file descriptors.
type gate struct {
	net.Listener
	full atomic.Bool

	mu   sync.Mutex // protects held
	held []net.Conn // those that came meanwhile
}

func (g *gate) Accept() (net.Conn, error) {
	if nc := g.next(); nc != nil {
		return nc, nil
	}
	if g.full.Load() {
		return nil, &net.OpError{Op: "accept", Net: "mem", Addr: g.Addr(), Err: syscall.EMFILE}
	}
	nc, err := g.Listener.Accept()
	if err != nil || !g.full.Load() {
		return nc, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = append(g.held, nc)
	return nil, &net.OpError{Op: "accept", Net: "mem", Addr: g.Addr(), Err: syscall.EMFILE}
}

// next returns a connection that came while there were no descriptors.
func (g *gate) next() net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full.Load() || len(g.held) == 0 {
		return nil
	}
	nc := g.held[0]
	g.held = g.held[1:]
	return nc
}

func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, nc := range g.held {
		nc.Close()
	}
	return g.Listener.Close()
}

func noDescriptors(a *arena) {
	a.gate.full.Store(!a.lifted())
	connected := make(chan error, 1)
	go func() {
		c, err := a.connect(a.limits.client)
		if err == nil {
			err = a.do(c, command{Op: echo})
		}
		connected <- err
	}()
	a.middle()
	a.counted("AcceptFailures", 3)
	a.gate.full.Store(false)
	err := <-connected
	a.expect(err == nil, "who came meanwhile got %v", err)
}

func tooManyConnections(a *arena) {
	for range 4 {
		a.peer(wire.ClientHello{})
	}
	a.middle()
	for range 3 {
		a.connect(a.limits.client)
	}
}

const stormSize = 30

// reconnectStorm has the links of many clients go silent at one moment. Their server
// holds the places of all until it finds out.
func reconnectStorm(a *arena) {
	var mu sync.Mutex // protects what follows
	var ends []*memnet.Conn
	var dials []time.Time
	a.l.OnDial(func(c, s *memnet.Conn) {
		mu.Lock()
		defer mu.Unlock()
		ends, dials = append(ends, c, s), append(dials, time.Now())
	})
	var clients []*client.Client[*world]
	for range stormSize {
		if c, err := a.reconnecting(a.dial, a.limits.client); err == nil {
			clients = append(clients, c)
		}
	}
	mu.Lock()
	for _, end := range ends {
		end.Cut(memnet.Stall)
		a.atEnd(func() { end.Cut(memnet.RST) })
	}
	dials = nil
	mu.Unlock()
	a.middle()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			err := a.do(c, command{Op: echo})
			if base.OutcomeOf(err) == base.Unknown && a.mode != draining {
				// It went out on the silent link. The next one waits for another.
				err = a.do(c, command{Op: echo})
			}
			a.expect(err == nil, "after the storm: %v", err)
		})
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(dials, time.Time.Compare)
	most := 0
	for i := range dials {
		n, _ := slices.BinarySearchFunc(dials, dials[i].Add(time.Millisecond), time.Time.Compare)
		most = max(most, n-i)
	}
	a.expect(most <= stormSize/2, "%d dials within a millisecond", most)
	a.l.OnDial(nil)
}

func foreignPeer(a *arena) {
	for _, nc := range a.silent(3) {
		if a.lifted() {
			hello, _ := wire.AppendClientHello(nil, wire.ClientHello{})
			nc.Write(hello)
		} else {
			nc.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		}
	}
	a.middle()
	a.counted("FailedHellos", 3)
}

// largeHello says a hello in which nothing is wrong but that it is longer than may be.
func largeHello(a *arena) {
	each := 5000
	if a.lifted() {
		each = 4000
	}
	var fields []byte
	for tag := range uint64(2) { // unknown ones: they are skipped
		fields = wire.AppendUvarint(fields, 100+tag)
		fields = wire.AppendUvarint(fields, uint64(each))
		fields = append(fields, make([]byte, each)...)
	}
	hello := append(wire.Magic[:], wire.Version)
	hello = wire.AppendUvarint(hello, uint64(len(fields)))
	hello = append(hello, fields...)
	for _, nc := range a.silent(3) {
		nc.SetWriteDeadline(time.Now().Add(patience))
		nc.Write(hello)
	}
	a.middle()
	a.counted("FailedHellos", 3)
}

func wrongCredentials(a *arena) {
	conf := a.limits.client
	conf.Credentials = func(context.Context) ([]byte, error) { return []byte("stranger"), nil }
	a.connect(conf)
	a.middle()
	a.connect(conf)
}

// serverStalls is a server that answers a client's first hello, and no other.
func serverStalls(a *arena) {
	var dials atomic.Int64
	dial := func(context.Context) (net.Conn, error) {
		answers := dials.Add(1) == 1
		return a.foe(func(f *foe) {
			if !answers {
				f.hearHello()
				f.rest()
				return
			}
			f.hello(wire.ServerHello{})
			f.nc.Close()
		}), nil
	}
	a.reconnecting(dial, a.limits.client)
	connected := make(chan struct{})
	nc := must(dial(a.t.Context()))
	go func() {
		a.over(nc, a.limits.client)
		close(connected)
	}()
	a.middle()
	a.until(func() bool { return isClosed(connected) })
}
