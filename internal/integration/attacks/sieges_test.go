package attacks

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
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
	all := []siege{
		{
			name: "stalled hello", pace: perSecond, counter: "FailedHellos",
			conf:   func(c *server.Conf[*world]) { c.SysDataSendTimeout = 500 * time.Millisecond },
			attack: func(f *field) { f.raids([]byte{}) },
		},
		{
			name: "hello flood", pace: perSecond, counter: "TooManyHellos",
			conf:   func(c *server.Conf[*world]) { c.MaxHellos = 4 },
			attack: func(f *field) { f.raids([]byte{}) },
		},
		{
			name: "TLS handshake flood", pace: perSecond, counter: "FailedHellos",
			conf:   func(c *server.Conf[*world]) { c.TLSConfig = serverTLS() },
			attack: handshakes,
		},
		{
			name: "descriptors exhausted", pace: perSecond + ", 30 descriptors", counter: "AcceptFailures",
			beside: fewDescriptors,
			attack: func(f *field) { f.raids([]byte{}) },
		},
		{
			name: "connection cap", pace: perSecond, counter: "FullHellos",
			conf:   func(c *server.Conf[*world]) { c.WorkersCount = connections },
			attack: func(f *field) { f.raids(greeting(wire.ClientHello{})) },
		},
		{
			name: "reconnect storm", pace: "20 clients, each cut 10 times a second", counter: "FullHellos",
			conf: func(c *server.Conf[*world]) {
				c.WorkersCount, c.FullRetryAfter = connections+18, 10*time.Millisecond
			},
			attack: storm,
		},
		{
			name: "oversized length", pace: perSecond, counter: "Breaches",
			attack: func(f *field) {
				f.raids(append(greeting(wire.ClientHello{}), 0x10, 0, 0x81, 0x80, 4))
			},
		},
		{
			name: "bad varint", pace: perSecond, counter: "Breaches",
			attack: func(f *field) { f.raids(append(greeting(wire.ClientHello{}), 0x10, 0x85, 0x80, 0)) },
		},
		{
			name: "unknown version or kind", pace: perSecond, counter: "FailedHellos",
			attack: func(f *field) {
				hello := greeting(wire.ClientHello{})
				hello[len(wire.Magic)] = 9
				f.raids(hello, append(greeting(wire.ClientHello{}), 0xa0, 0, 0))
			},
		},
		{
			name: "duplicate or skipped slot", pace: perSecond + ", 2 commands", counter: "Breaches",
			attack: func(f *field) {
				skipped := frame(wire.KindCommand, 0, transport.DefaultMaxInFlight, appendCommand(nil, command{Op: echo}))
				f.raids(append(greeting(wire.ClientHello{}), skipped...), append(greeting(wire.ClientHello{}), bytes.Repeat(frame(wire.KindCommand, 0, 0, appendCommand(nil, command{Op: stubborn, N: 50})), 2)...))
			},
		},
		{
			name: "late frame for a reused slot", pace: perSecond + ", 2 commands", counter: "Breaches",
			attack: func(f *field) {
				late := append(wire.AppendExtras(nil, wire.Extras{Seq: 5}), appendCommand(nil, command{Op: echo})...)
				f.raids(append(greeting(wire.ClientHello{}), bytes.Repeat(frame(wire.KindCommand, wire.FlagExtras, 0, late), 2)...))
			},
		},
		{
			name: "flipped bits", pace: perSecond + ", 1 KiB of them", counter: "Breaches",
			attack: flipped,
		},
		{
			name: "one byte at a time", pace: perSecond + ", a byte each 0.1 s", counter: "FailedHellos",
			conf:   func(c *server.Conf[*world]) { c.SysDataSendTimeout = 300 * time.Millisecond },
			attack: drops,
		},
		{
			name: "half-open link", pace: perSecond + ", silent then", counter: "Idle",
			conf:   func(c *server.Conf[*world]) { c.ReceiveTimeout = 500 * time.Millisecond },
			attack: func(f *field) { f.raids(greeting(wire.ClientHello{})) },
		},
		{
			name: "tiny credits", rate: 20, pace: "20 x 16 streams a second, 10 credits each", counter: "Idle",
			conf: func(c *server.Conf[*world]) { c.ReceiveTimeout = 500 * time.Millisecond },
			attack: func(f *field) {
				say := greeting(wire.ClientHello{})
				for slot := range 16 { // each sends one result, and waits
					say = append(say, frame(wire.KindCommand, 0, slot, appendCommand(nil, command{Op: count, N: 1000}))...)
				}
				f.raidsWith(20, func(nc net.Conn, _ int) {
					nc.Write(say)
					go io.Copy(io.Discard, nc)
					for range 10 {
						for slot := range 16 {
							nc.Write(frame(wire.KindCredit, 0, slot, []byte{1}))
						}
						select {
						case <-f.ctx.Done():
							return
						case <-time.After(10 * time.Millisecond):
						}
					}
					select {
					case <-f.ctx.Done():
					case <-time.After(time.Second):
					}
				})
			},
		},
		{
			name: "credit flood or overflow", pace: perSecond + ", 1001 credits", counter: "Floods",
			attack: func(f *field) {
				say := append(greeting(wire.ClientHello{}), frame(wire.KindCommand, 0, 0, appendCommand(nil, command{Op: stubborn, N: 50}))...)
				much := frame(wire.KindCredit, 0, 0, wire.AppendUvarint(nil, 1<<31))
				f.raids(append(bytes.Clone(say), bytes.Repeat(frame(wire.KindCredit, 0, 0, []byte{1}), 1001)...), append(bytes.Clone(say), much...))
			},
		},
		{
			name: "stolen session id", pace: perSecond + ", and 1 more", counter: "ForeignSessions",
			conf: func(c *server.Conf[*world]) {
				fewSessions(c)
				c.Authenticate = byCredentials
			},
			attack: func(f *field) {
				f.relay(func(id wire.SessionID) []wire.ClientHello {
					return []wire.ClientHello{
						{Session: &wire.Session{ID: id, Epoch: 1}, Credentials: []byte("the owner")},
						{Session: &wire.Session{ID: id, Epoch: 2, Resume: true}, Credentials: []byte("the thief")},
					}
				}, nil)
			},
		},
		{
			name: "old connection's bytes", pace: perSecond + ", and 1 more", counter: "SessionsResumed",
			conf: fewSessions,
			attack: func(f *field) {
				f.relay(func(id wire.SessionID) []wire.ClientHello {
					return []wire.ClientHello{
						{Session: &wire.Session{ID: id, Epoch: 1}},
						{Session: &wire.Session{ID: id, Epoch: 2, Resume: true}},
					}
				}, bytes.Repeat(frame(wire.KindCommand, 0, 0, appendCommand(nil, command{Op: echo})), 100))
			},
		},
		{
			name: "two connections, one session", pace: perSecond + ", and 2 more", counter: "StaleEpochs",
			conf: fewSessions,
			attack: func(f *field) {
				f.relay(func(id wire.SessionID) []wire.ClientHello {
					return []wire.ClientHello{
						{Session: &wire.Session{ID: id, Epoch: 1}},
						{Session: &wire.Session{ID: id, Epoch: 2, Resume: true}},
						{Session: &wire.Session{ID: id, Epoch: 2, Resume: true}},
					}
				}, nil)
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
			name: "reset flood", rate: 1000, pace: "10,000 commands a second, given up", counter: "Shed",
			conf:   func(c *server.Conf[*world]) { c.ServerSettings.MaxInFlight = 64 },
			attack: resets,
		},
		{
			name: "in-flight exhaustion", rate: 100, pace: "16 x 64 commands that never end", counter: "Breaches",
			conf:   func(c *server.Conf[*world]) { c.ServerSettings.MaxInFlight = 64 },
			attack: exhaustion,
		},
		{
			name: "slow reader", rate: 5, pace: "5 connections a second, 8 MiB", counter: "SlowReaders",
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
			name: "decompression bomb", rate: 5, pace: "5 bombs of 4 MiB a second", counter: "BadBodies",
			conf:   func(c *server.Conf[*world]) { c.Compressions = []transport.Compression{flate.New(0)} },
			attack: bombs,
		},
		{
			name: "deeply nested body", rate: 200, pace: "200 a second, 60 KiB", counter: "BadBodies",
			attack: nestedBodies,
		},
		{
			name: "panic in command, codec", rate: 1000, pace: "1000 a second", counter: "Panics",
			conf:   func(c *server.Conf[*world]) { c.OnPanic = func(handler.Panic) {} },
			attack: panicking,
		},
		{
			name: "session-table exhaustion", pace: "200 sessions a second", counter: "SessionsEvicted",
			conf:   fewSessions,
			attack: abandoned,
		},
	}
	all = append(append(all, linkSieges()...), serverSieges()...)
	return slices.DeleteFunc(all, func(s siege) bool {
		return s.name == "descriptors exhausted" && fewDescriptors == nil || s.harm == paused && pause == nil
	})
}

// fewSessions lets a siege's sessions go soon after it.
func fewSessions(c *server.Conf[*world]) { c.Sessions.Max, c.Sessions.Time = 16, time.Second }

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

// raids makes connections, says something on each, in turn, and reads until it is cut, or a
// second is over.
func (f *field) raids(says ...[]byte) {
	f.raidsWith(reconnects, func(nc net.Conn, n int) {
		nc.Write(says[n%len(says)])
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

// flipped says hello, and then a kibibyte of commands in which bits are flipped.
func flipped(f *field) {
	sound := bytes.Repeat(frame(wire.KindCommand, 0, 1, appendCommand(nil, command{Op: echo, Body: make([]byte, 20)})), 32)
	f.raidsWith(reconnects, func(nc net.Conn, n int) {
		at, bits := flips(uint64(n), 100, len(sound))
		say := bytes.Clone(sound)
		for i := range at {
			say[at[i]] ^= bits[i]
		}
		nc.Write(append(greeting(wire.ClientHello{}), say...))
		io.Copy(io.Discard, nc)
	})
}

// drops says hello a byte at a time, ten a second.
func drops(f *field) {
	f.raidsWith(reconnects, func(nc net.Conn, _ int) {
		for _, b := range greeting(wire.ClientHello{}) {
			if _, err := nc.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-f.ctx.Done():
				return
			}
		}
	})
}

// handshakes does the handshake of TLS, and says nothing more.
func handshakes(f *field) {
	f.raidsWith(reconnects, func(nc net.Conn, _ int) {
		nc.(interface{ Handshake() error }).Handshake()
	})
}

// storm has clients reconnect, of which not all find a place.
func storm(f *field) {
	f.together(20, func(int) {
		conf := client.Conf{Logger: quiet, Backoff: client.Backoff{First: time.Millisecond, Max: 20 * time.Millisecond}}
		var last atomic.Pointer[net.TCPConn]
		c, err := client.NewReconnect(f.ctx, clientCodec{}, func(context.Context) (net.Conn, error) {
			nc, err := f.dial()
			if err == nil {
				last.Store(nc.(*net.TCPConn))
			}
			return nc, err
		}, conf)
		if err != nil {
			return
		}
		defer c.Close()
		f.paced(10, func(int) {
			last.Load().SetLinger(0)
			last.Load().Close()
		})
	})
}

// one makes one connection, on which it says hello, and reads what comes. A second one
// takes its place when it is cut.
func (f *field) one(hello wire.ClientHello, attack func(nc net.Conn)) {
	for f.ctx.Err() == nil {
		nc, err := f.dial()
		if err != nil {
			return // which is told as an early end
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

// burst writes so many times a second what say gives it, until the connection is cut.
func (f *field) burst(nc net.Conn, each int, say func(n int) []byte) {
	ticker := time.NewTicker(time.Second / time.Duration(each))
	defer ticker.Stop()
	for n := 0; f.ctx.Err() == nil; n++ {
		<-ticker.C
		f.strikes.Add(1)
		if _, err := nc.Write(say(n)); err != nil {
			return
		}
	}
}

// commands says, of a body, a command on each of a thousand slots in turn.
func commands(flags wire.Flags, body []byte) (say func(n int) []byte) {
	return func(n int) []byte { return frame(wire.KindCommand, flags, n%1000, body) }
}

// resets gives up commands that do not listen, and run on.
func resets(f *field) {
	var cancels, commands []byte
	for slot := range 10 {
		cancels = append(cancels, frame(wire.KindCancel, 0, slot, nil)...)
		commands = append(commands, frame(wire.KindCommand, 0, slot, appendCommand(nil, command{Op: stubborn, N: 100}))...)
	}
	// They run by the time they are given up: one that does not never will.
	say := append(cancels, commands...)
	f.one(wire.ClientHello{}, func(nc net.Conn) { f.burst(nc, 1000, func(int) []byte { return say }) })
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
				f.strikes.Add(1)
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

func bombs(f *field) {
	packed := zeros(5 << 20)
	f.one(wire.ClientHello{Compressions: []uint64{flate.ID}}, func(nc net.Conn) {
		f.burst(nc, 5, commands(wire.FlagCompressed, packed))
	})
}

func nestedBodies(f *field) {
	body := appendCommand(nil, command{Op: nested, Body: bytes.Repeat([]byte("["), 60<<10)})
	f.one(wire.ClientHello{}, func(nc net.Conn) { f.burst(nc, 200, commands(0, body)) })
}

func panicking(f *field) {
	var bodies [][]byte
	for _, op := range []op{explode, poison, spoiled} { // in Exec, in Decode, in Encode
		bodies = append(bodies, appendCommand(nil, command{Op: op}))
	}
	f.one(wire.ClientHello{}, func(nc net.Conn) {
		f.burst(nc, 1000, func(n int) []byte { return frame(wire.KindCommand, 0, n%1000, bodies[n%len(bodies)]) })
	})
}

// abandoned opens sessions, and leaves them.
func abandoned(f *field) {
	f.raidsWith(reconnects, func(nc net.Conn, _ int) {
		nc.Write(greeting(wire.ClientHello{Session: &wire.Session{ID: freshSession(), Epoch: 1}}))
		nc.Read(make([]byte, 100))
	})
}

func freshSession() wire.SessionID {
	id := wire.SessionID{1}
	binary.LittleEndian.PutUint64(id[8:], uint64(time.Now().UnixNano()))
	return id
}

// relay says hellos of a session, each on a connection of its own, and then something on the
// first of them.
func (f *field) relay(hellos func(id wire.SessionID) []wire.ClientHello, late []byte) {
	f.raidsWith(reconnects, func(first net.Conn, _ int) {
		for i, hello := range hellos(freshSession()) {
			nc := first
			if i > 0 {
				var err error
				if nc, err = f.dial(); err != nil {
					return
				}
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(time.Second))
			}
			nc.Write(greeting(hello))
			nc.Read(make([]byte, 100))
		}
		first.Write(late)
	})
}
