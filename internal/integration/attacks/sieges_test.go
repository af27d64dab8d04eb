package attacks

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// reconnects is how many connections a second most attackers make: each is cut, or
// closed, and comes again.
const reconnects = 200

const perSecond = "200 connections a second"

// sieges are the attacks that are measured.
func sieges() []siege {
	return []siege{
		{
			name: "stalled hello", pace: perSecond, counter: "FailedHellos",
			conf:   func(c *server.Conf[*world]) { c.SysDataSendTimeout = 500 * time.Millisecond },
			attack: func(f *field) { f.raids(nil) },
		},
		{
			name: "hello flood", pace: perSecond, counter: "TooManyHellos",
			conf:   func(c *server.Conf[*world]) { c.MaxHellos = 4 },
			attack: func(f *field) { f.raids(nil) },
		},
		{
			name: "TLS handshake flood", pace: perSecond, counter: "FailedHellos",
			conf:   func(c *server.Conf[*world]) { c.TLSConfig = serverTLS() },
			attack: handshakes,
		},
		{
			name: "connection cap", pace: perSecond, counter: "FullHellos",
			conf:   func(c *server.Conf[*world]) { c.WorkersCount = connections },
			attack: func(f *field) { f.raids(greeting(wire.ClientHello{})) },
		},
		{
			name: "reconnect storm", pace: "200 clients a second, one command", counter: "FullHellos",
			conf:   func(c *server.Conf[*world]) { c.WorkersCount = connections + 4 },
			attack: storm,
		},
		{
			name: "oversized length", pace: perSecond, counter: "Breaches",
			attack: func(f *field) {
				f.raids(append(greeting(wire.ClientHello{}), 0x10, 0, 0x81, 0x80, 4))
			},
		},
		{
			name: "ping flood", pace: perSecond + ", 1001 pings", counter: "Floods",
			attack: func(f *field) {
				f.raids(append(greeting(wire.ClientHello{}), bytes.Repeat([]byte{wire.Ping}, 1001)...))
			},
		},
		{
			name: "cancel flood", pace: perSecond + ", 1001 cancels", counter: "Floods",
			attack: func(f *field) {
				f.raids(append(greeting(wire.ClientHello{}), bytes.Repeat(frame(wire.KindCancel, 0, 3, nil), 1001)...))
			},
		},
		{
			name: "reset flood", pace: "10,000 commands a second, given up", counter: "Shed",
			conf:   func(c *server.Conf[*world]) { c.ServerSettings.MaxInFlight = 64 },
			attack: resets,
		},
		{
			name: "in-flight exhaustion", pace: "16 x 64 commands that never end", counter: "Breaches",
			conf:   func(c *server.Conf[*world]) { c.ServerSettings.MaxInFlight = 64 },
			attack: exhaustion,
		},
		{
			name: "slow reader", pace: "5 connections a second, 8 MiB", counter: "SlowReaders",
			conf:   func(c *server.Conf[*world]) { c.WriteTimeout = 200 * time.Millisecond },
			attack: deaf,
		},
		{
			name: "many large commands", pace: perSecond + ", 4 MiB announced", counter: "NoMemory",
			conf: func(c *server.Conf[*world]) { c.MaxConnBytes = 1 << 20 },
			attack: func(f *field) {
				f.raids(append(greeting(wire.ClientHello{}), announcement(4<<20)...))
			},
		},
		{
			name: "decompression bomb", pace: "5 bombs of 4 MiB a second", counter: "BadBodies",
			conf:   func(c *server.Conf[*world]) { c.Compressions = []transport.Compression{flate.New(0)} },
			attack: func(f *field) { bombs(f, 5) },
		},
		{
			name: "deeply nested body", pace: "200 a second, 60 KiB", counter: "BadBodies",
			attack: nestedBodies,
		},
		{
			name: "panic in command", pace: "1000 a second", counter: "Panics",
			conf:   func(c *server.Conf[*world]) { c.OnPanic = func(handler.Panic) {} },
			attack: panicking,
		},
		{
			name: "session-table exhaustion", pace: "200 sessions a second", counter: "SessionsEvicted",
			conf:   func(c *server.Conf[*world]) { c.Sessions.Max, c.Sessions.Time = 16, time.Second },
			attack: abandoned,
		},
	}
}

func greeting(h wire.ClientHello) []byte {
	b, err := wire.AppendClientHello(nil, h)
	if err != nil {
		panic(err)
	}
	return b
}

func announcement(size uint64) []byte {
	return frame(wire.KindCommand, wire.FlagMore, 0, append(wire.AppendUvarint(nil, size), make([]byte, 1000)...))
}

// raids makes connections, says the same on each, and reads until it is cut, or a second
// is over.
func (f *field) raids(say []byte) {
	f.raidsWith(reconnects, func(nc net.Conn, _ int) {
		nc.Write(say)
		io.Copy(io.Discard, nc)
	})
}

// raidsWith makes so many connections a second. Each has a second to live.
func (f *field) raidsWith(each int, do func(nc net.Conn, n int)) {
	var raids sync.WaitGroup
	defer raids.Wait()
	f.paced(each, func(n int) {
		nc, err := f.dial()
		if err != nil {
			return
		}
		raids.Go(func() {
			defer nc.Close()
			stop := context.AfterFunc(f.ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
			defer stop()
			nc.SetDeadline(time.Now().Add(time.Second))
			do(nc, n)
		})
	})
}

// handshakes does the handshake of TLS, and says nothing more.
func handshakes(f *field) {
	f.raidsWith(reconnects, func(nc net.Conn, _ int) {
		nc.(interface{ Handshake() error }).Handshake()
	})
}

// storm has clients come, do a command, and go.
func storm(f *field) {
	f.raidsWith(reconnects, func(nc net.Conn, _ int) {
		c, err := client.New(f.ctx, clientCodec{}, nc, client.Conf{Logger: quiet})
		if err != nil {
			return
		}
		defer c.Close()
		c.Do(f.ctx, command{Op: stubborn, N: 50})
	})
}

// one makes one connection, on which it says hello, and reads what comes. A second one
// takes its place when it is cut.
func (f *field) one(hello wire.ClientHello, attack func(nc net.Conn)) {
	for f.ctx.Err() == nil {
		nc, err := f.dial()
		if err != nil {
			return
		}
		stop := context.AfterFunc(f.ctx, func() { nc.Close() })
		nc.Write(greeting(hello))
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(io.Discard, nc)
			nc.Close()
		}()
		attack(nc)
		nc.Close()
		<-done
		stop()
		select {
		case <-f.ctx.Done():
		case <-time.After(time.Second / reconnects):
		}
	}
}

// burst writes the same a thousand times a second, until the connection is cut.
func (f *field) burst(nc net.Conn, each int, b []byte) {
	ticker := time.NewTicker(time.Second / time.Duration(each))
	defer ticker.Stop()
	for f.ctx.Err() == nil {
		<-ticker.C
		if _, err := nc.Write(b); err != nil {
			return
		}
	}
}

// resets gives up commands that do not listen as soon as it has sent them.
func resets(f *field) {
	pair := append(frame(wire.KindCommand, 0, 0, appendCommand(nil, command{Op: stubborn, N: 100})), frame(wire.KindCancel, 0, 0, nil)...)
	f.one(wire.ClientHello{}, func(nc net.Conn) { f.burst(nc, 1000, bytes.Repeat(pair, 10)) })
}

// exhaustion fills connections with commands that do not end, and then sends one more.
func exhaustion(f *field) {
	say := greeting(wire.ClientHello{})
	for slot := range 64 {
		say = append(say, frame(wire.KindCommand, 0, slot, appendCommand(nil, command{Op: block}))...)
	}
	var all sync.WaitGroup
	defer all.Wait()
	for range 16 {
		all.Go(func() {
			f.one(wire.ClientHello{}, func(nc net.Conn) {
				nc.Write(say[len(greeting(wire.ClientHello{})):])
				select {
				case <-time.After(100 * time.Millisecond):
				case <-f.ctx.Done():
				}
				nc.Write(frame(wire.KindCommand, 0, 64, appendCommand(nil, command{Op: block})))
				select {
				case <-time.After(5 * time.Millisecond):
				case <-f.ctx.Done():
				}
			})
		})
	}
}

// deaf asks for results of 8 MiB in all, more than the sockets hold, and reads none.
func deaf(f *field) {
	say := greeting(wire.ClientHello{})
	for slot := range 8 {
		say = append(say, frame(wire.KindCommand, 0, slot, appendCommand(nil, command{Op: grow, N: 1 << 20}))...)
	}
	f.raidsWith(5, func(nc net.Conn, _ int) {
		if small, ok := nc.(*net.TCPConn); ok {
			small.SetReadBuffer(4 << 10)
		}
		nc.Write(say)
		select {
		case <-time.After(900 * time.Millisecond):
		case <-f.ctx.Done():
		}
	})
}

func bombs(f *field, each int) {
	packed := zeros(5 << 20)
	f.one(wire.ClientHello{Compressions: []uint64{flate.ID}}, func(nc net.Conn) {
		slot := 0
		ticker := time.NewTicker(time.Second / time.Duration(each))
		defer ticker.Stop()
		for f.ctx.Err() == nil {
			slot = (slot + 1) % 1000
			if _, err := nc.Write(frame(wire.KindCommand, wire.FlagCompressed, slot, packed)); err != nil {
				return
			}
			<-ticker.C
		}
	})
}

func nestedBodies(f *field) {
	body := appendCommand(nil, command{Op: nested, Body: bytes.Repeat([]byte("["), 60<<10)})
	f.one(wire.ClientHello{}, func(nc net.Conn) { f.burst(nc, 200, frame(wire.KindCommand, 0, 1, body)) })
}

func panicking(f *field) {
	f.one(wire.ClientHello{}, func(nc net.Conn) {
		for n := 0; f.ctx.Err() == nil; n++ {
			if _, err := nc.Write(frame(wire.KindCommand, 0, n%1000, appendCommand(nil, command{Op: explode}))); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// abandoned opens sessions, and leaves them.
func abandoned(f *field) {
	id := wire.SessionID{1}
	f.raidsWith(reconnects, func(nc net.Conn, n int) {
		id := id
		now := time.Now().UnixNano()
		for i := range 8 {
			id[8+i] = byte(now >> (8 * i))
		}
		nc.Write(greeting(wire.ClientHello{Session: &wire.Session{ID: id, Epoch: 1}}))
		nc.Read(make([]byte, 100))
	})
}
