//go:build unix

package integration_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/leak"
	"github.com/cmdstream/cmdstream/server"
)

// closeTime is how long Close may take, in whatever state.
const closeTime = time.Second

// inCloseTime fails the test if run takes longer than closeTime each time: a busy machine
// does not do so, a Close that waits for something does.
func inCloseTime(t *testing.T, run func() time.Duration) {
	t.Helper()
	var took time.Duration
	for range 3 {
		if took = run(); took <= closeTime || t.Failed() {
			t.Logf("closed in %v", took)
			return
		}
	}
	t.Errorf("closed in %v", took)
}

// A client closes within a second in every state, and ends every call with that.
func TestAClientClosesInEveryState(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(t *testing.T, s *scene)
	}{
		{"idle", func(t *testing.T, s *scene) { s.connect(t, client.Conf{}) }},
		{"idle, with a session", func(t *testing.T, s *scene) { s.connect(t, client.Conf{Session: true}) }},
		{"busy", func(t *testing.T, s *scene) {
			s.connect(t, client.Conf{Session: true})
			for range 32 {
				s.call(func(c *client.Client[*book]) (err error) {
					for err == nil {
						_, err = cmdstream.Do(context.Background(), c, note{Padding: make([]byte, 1000)})
					}
					return err
				})
			}
			time.Sleep(50 * time.Millisecond)
		}},
		{"the server is stopped", func(t *testing.T, s *scene) {
			s.connect(t, client.Conf{})
			s.open(t, 10)
			s.server.pause(t)
			s.send(10, 0)
		}},
		{"the server is stopped, and the pipe is full", func(t *testing.T, s *scene) {
			s.start(t)
			s.client = narrow(t, s.server, client.Conf{MaxInFlight: 150})
			s.open(t, 10)
			s.server.pause(t)
			s.send(20, 100_000)
			s.send(100, 5000)
			s.send(100, 0)
			time.Sleep(100 * time.Millisecond)
		}},
		{"redialing", func(t *testing.T, s *scene) {
			s.connect(t, client.Conf{Session: true})
			s.open(t, 10)
			s.server.kill()
			s.send(10, 0)
		}},
		{"in a dial that hangs", func(t *testing.T, s *scene) { s.goElsewhere(t, false, false) }},
		{"in a dial that hangs, with a session", func(t *testing.T, s *scene) { s.goElsewhere(t, true, false) }},
		{"in a hello", func(t *testing.T, s *scene) { s.goElsewhere(t, false, true) }},
		{"in a hello, with a session", func(t *testing.T, s *scene) { s.goElsewhere(t, true, true) }},
		{"the server drains", func(t *testing.T, s *scene) {
			s.connect(t, client.Conf{Session: true})
			s.open(t, 10)
			s.server.in.Encode("drain")
			eventually(t, "the client has noticed", func() bool { return s.changes.Load() > 1 })
			s.send(10, 0)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inCloseTime(t, func() time.Duration {
				var s scene
				test.set(t, &s)
				began := time.Now()
				if err := s.client.Close(); err != nil {
					t.Error(err)
				}
				took := time.Since(began)
				s.calls.Wait()
				if s.server.err == nil {
					s.server.resume(t)
				}
				return took
			})
		})
	}
}

// scene is a client in some state.
type scene struct {
	server  *bookProcess
	client  *client.Client[*book]
	changes atomic.Int64 // of its state
	calls   sync.WaitGroup
	t       *testing.T
}

func (s *scene) start(t *testing.T) {
	s.t = t
	s.server = startBook(t, bookConf{File: filepath.Join(t.TempDir(), "book"), Buffer: smallBuffer})
}

func (s *scene) connect(t *testing.T, conf client.Conf) {
	t.Helper()
	s.start(t)
	s.dial(t, client.TCP(s.server.addrs[0]), conf)
}

func (s *scene) dial(t *testing.T, dialer client.Dialer, conf client.Conf) {
	t.Helper()
	conf.Logger = quiet
	conf.StateCallback = func(client.StateChange) { s.changes.Add(1) }
	var err error
	if s.client, err = client.NewReconnect(soon(t), bookSet().Client(), dialer, conf); err != nil {
		t.Fatal(err)
	}
}

// call makes a call that must end by Close.
func (s *scene) call(run func(c *client.Client[*book]) error) {
	s.calls.Go(func() {
		if err := run(s.client); !errors.Is(err, base.ErrClosed) {
			s.t.Errorf("a call ended with %v", err)
		}
	})
}

// send calls with commands that need not run.
func (s *scene) send(count, size int) {
	for range count {
		s.call(func(c *client.Client[*book]) error {
			_, err := cmdstream.Do(context.Background(), c, note{Before: time.Hour, Padding: make([]byte, size)})
			return err
		})
	}
}

// open calls with commands that run then.
func (s *scene) open(t *testing.T, count int) {
	t.Helper()
	s.send(count, 0)
	eventually(t, "the commands run", func() bool { return s.server.state(t).Stats.Running == count })
}

// goElsewhere has the client lose its server, and dial one that does not take it, or is
// silent.
func (s *scene) goElsewhere(t *testing.T, session, accepted bool) {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	s.start(t)
	var dials atomic.Int64
	s.dial(t, func(ctx context.Context) (net.Conn, error) {
		switch {
		case dials.Add(1) == 1:
			return client.TCP(s.server.addrs[0])(ctx)
		case accepted:
			return client.TCP(silent.Addr().String())(ctx)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}, client.Conf{Session: session})
	s.server.kill()
	eventually(t, "the client dials", func() bool { return dials.Load() > 1 })
	if accepted {
		nc, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
	}
	s.send(10, 0)
	time.Sleep(20 * time.Millisecond)
}

// A server closes within a second in every state.
func TestAServerClosesInEveryState(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(t *testing.T, s *server.Server, addr string)
		deaf bool // a command does not end
	}{
		{name: "idle", set: func(t *testing.T, s *server.Server, addr string) {
			c, err := client.NewReconnect(soon(t), bookSet().Client(), client.TCP(addr), client.Conf{Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}},
		{name: "busy", set: func(t *testing.T, s *server.Server, addr string) {
			loadFor(t, loadConf{Addr: addr, Session: true, Callers: 32})
		}},
		{name: "the client is stopped", set: func(t *testing.T, s *server.Server, addr string) {
			loadFor(t, loadConf{Addr: addr, Callers: 32}).pause(t)
		}},
		{name: "the client is stopped, and the pipe is full", set: func(t *testing.T, s *server.Server, addr string) {
			loadFor(t, loadConf{Addr: addr, Callers: 32, Size: 5000, Buffer: smallBuffer}).pause(t)
			eventually(t, "the pipe is full", func() bool {
				before := s.Stats().Running
				time.Sleep(100 * time.Millisecond)
				return before > 0 && s.Stats().Running == before
			})
		}},
		{name: "the client's hello is not whole", set: func(t *testing.T, s *server.Server, addr string) {
			for _, part := range []string{"", "\xc5", "\xc5cmd\x01"} {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { nc.Close() })
				nc.Write([]byte(part))
			}
			time.Sleep(20 * time.Millisecond)
		}},
		{name: "the clients of sessions are gone", set: func(t *testing.T, s *server.Server, addr string) {
			openFor(t, s, addr, note{Before: time.Hour}).Close()
			eventually(t, "the session is alone", func() bool { return s.Stats().DetachedSessions == 1 })
		}},
		{name: "draining", set: func(t *testing.T, s *server.Server, addr string) {
			openFor(t, s, addr, note{Before: time.Hour})
			ended := make(chan error, 1)
			go func() { ended <- s.Shutdown(context.Background()) }()
			t.Cleanup(func() { <-ended })
			time.Sleep(20 * time.Millisecond)
		}},
		{name: "a command does not end", deaf: true, set: func(t *testing.T, s *server.Server, addr string) {
			openFor(t, s, addr, note{Before: 2 * time.Second, Deaf: true})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			leak.Check(t)
			inCloseTime(t, func() (took time.Duration) {
				file, err := os.Create(filepath.Join(t.TempDir(), "book"))
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				s, err := server.New(bookSet().Server(), &book{file}, server.Conf[*book]{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				served := make(chan error, 1)
				go func() { served <- s.Serve(noting{l, &conns{buffer: smallBuffer}}) }()
				test.set(t, s, l.Addr().String())
				began := time.Now()
				err = s.Close()
				took = time.Since(began)
				if (err != nil) != test.deaf {
					t.Errorf("Close returned %v", err)
				}
				if err := receive(t, served); !errors.Is(err, base.ErrClosed) {
					t.Errorf("Serve returned %v", err)
				}
				return took
			})
		})
	}
}

// loadFor starts a load that is killed in the end.
func loadFor(t *testing.T, conf loadConf) *loadProcess {
	t.Helper()
	var heard reports
	l := startLoad(t, conf, &heard)
	t.Cleanup(l.kill)
	heard.await(t, 5)
	return l
}

// openFor has a client of its own send a command, and waits until that runs. The client
// dials no more when its connection, which is returned, is lost.
func openFor(t *testing.T, s *server.Server, addr string, cmd note) (nc net.Conn) {
	t.Helper()
	dialer := func(ctx context.Context) (net.Conn, error) {
		if nc != nil {
			return nil, errors.New("the client dials no more")
		}
		var err error
		nc, err = client.TCP(addr)(ctx)
		return nc, err
	}
	c, err := client.NewReconnect(soon(t), bookSet().Client(), dialer, client.Conf{Session: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := cmdstream.Do(context.Background(), c, cmd)
		ended <- err
	}()
	t.Cleanup(func() {
		c.Close()
		<-ended
	})
	eventually(t, "the command runs", func() bool { return s.Stats().Running == 1 })
	return nc
}
