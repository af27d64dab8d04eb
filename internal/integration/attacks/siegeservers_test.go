package attacks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/wire"
)

// serverSieges are faults of another server, which has clients in the process of the honest
// ones.
func serverSieges() []siege {
	const each = 50
	return []siege{
		{
			name: "result after last", rate: each, pace: "50 clients a second, 1001 results", counter: ofClients + "Breaches",
			attack: func(f *field) {
				last := frame(wire.KindResult, wire.FlagLast, 0, appendResult(nil, result{Last: true}))
				f.lie(wire.ServerHello{}, func(nc net.Conn) { nc.Write(bytes.Repeat(last, 1002)) })
			},
			suffer: func(f *field) { f.victims(each, base.ErrProtocol) },
		},
		{
			name: "server ignores the credit", rate: each, pace: "50 clients a second, 1001 results", counter: ofClients + "Breaches",
			attack: func(f *field) {
				one := frame(wire.KindResult, 0, 0, appendResult(nil, result{}))
				f.lie(wire.ServerHello{}, func(nc net.Conn) { nc.Write(bytes.Repeat(one, 1001)) })
			},
			suffer: func(f *field) { f.victims(each, base.ErrProtocol) },
		},
		{
			name: "server killed", rate: unpaced, pace: "8 clients of it", counter: ofClients + "SessionsLost",
			harm:   killed,
			attack: func(f *field) { f.serve(f.listener) },
			suffer: func(f *field) { f.steady(8, late, lostSession) },
		},
		{
			name: "long pause of a server", rate: unpaced, pace: "8 clients of it, stopped", counter: ofClients + "Silent",
			harm:   paused,
			attack: func(f *field) { f.serve(f.listener) },
			suffer: func(f *field) { f.steady(8, soon, never) },
		},
		{
			name: "drain", rate: unpaced, pace: "20 servers a second, 8 clients", counter: ofClients + "SentAgain",
			attack: drains,
			suffer: func(f *field) { f.steady(8, late, never) },
		},
	}
}

// serve is a server, until the attack's ctx ends.
func (f *field) serve(l net.Listener) {
	s, err := server.New(serverCodec{}, newWorld(), server.Conf[*world]{Logger: quiet})
	if err != nil {
		f.fail(err)
		return
	}
	defer context.AfterFunc(f.ctx, func() { s.Close() })()
	s.Serve(l)
}

// drains is one server after another, each of which is shut down while the next one runs
// already. They take turns at one listener, whose connections go to the newest.
func drains(f *field) {
	var mu sync.Mutex // protects newest
	var newest *pipeListener
	var serving sync.WaitGroup
	defer serving.Wait()
	next := func() {
		s, err := server.New(serverCodec{}, newWorld(), server.Conf[*world]{Logger: quiet})
		if err != nil {
			f.fail(err)
			return
		}
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{}), addr: f.listener.Addr()}
		mu.Lock()
		newest = l
		mu.Unlock()
		serving.Go(func() { s.Serve(l) })
		serving.Go(func() {
			select {
			case <-f.ctx.Done():
			case <-time.After(75 * time.Millisecond):
			}
			ctx, cancel := context.WithTimeout(context.Background(), recovery)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				f.fail(err)
			}
		})
	}
	next()
	serving.Go(func() {
		for {
			nc, err := f.listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			l := newest
			mu.Unlock()
			l.give(nc)
		}
	})
	defer f.listener.Close()
	f.paced(20, func(int) { next() })
}

// pipeListener is a listener that is given its connections.
type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
	addr   net.Addr
}

func (l *pipeListener) give(nc net.Conn) {
	select {
	case l.conns <- nc:
	case <-l.closed:
		nc.Close()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return l.addr }

// lie answers every hello and the first command of each connection, as it likes.
func (f *field) lie(hello wire.ServerHello, answer func(nc net.Conn)) {
	defer context.AfterFunc(f.ctx, func() { f.listener.Close() })()
	hello.Info = []byte("default")
	greeting, err := wire.AppendServerHello(nil, hello)
	if err != nil {
		f.fail(err)
		return
	}
	var lies sync.WaitGroup
	defer lies.Wait()
	for {
		nc, err := f.listener.Accept()
		if err != nil {
			return
		}
		lies.Go(func() {
			defer nc.Close()
			defer context.AfterFunc(f.ctx, func() { nc.Close() })()
			r := bufio.NewReader(nc)
			readHello(r)
			nc.Write(greeting)
			if _, _, err := readFrame(r); err == nil {
				answer(nc)
			}
			io.Copy(io.Discard, r)
		})
	}
}

// victims makes so many clients a second, each of which does a command, and must end by an
// error.
func (f *field) victims(each int, want error) {
	f.each(each, func(int) {
		nc, err := f.dial()
		if err != nil {
			return
		}
		c, err := client.New(f.ctx, clientCodec{}, nc, client.Conf{Logger: quiet})
		if err != nil {
			return
		}
		f.watch(c)
		defer f.leave(c)
		c.Do(f.ctx, command{Op: echo}) // its result may come before the harm
		select {
		case <-c.Done():
			if !errors.Is(c.Err(), want) {
				f.fail(c.Err())
			}
		case <-f.ctx.Done():
		case <-time.After(recovery):
			f.fail(errors.New("a client does not end"))
		}
	})
}
