package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/server"
)

// bookConf is the configuration of a book's process. It tells where it serves, and
// answers requests.
type bookConf struct {
	Addrs          []string
	File           string
	Descriptors    uint64 // the most that it may have; 0: as many as the system allows
	Buffer         int    // of each socket, each way, in bytes; 0: the system's
	WriteTimeout   time.Duration
	ReceiveTimeout time.Duration
	Sessions       server.Sessions
	WorkersCount   int
}

// bookState is the answer to the request "state".
type bookState struct {
	Usage    usage
	Stats    server.Stats
	Accepted int // connections, ever
}

// drainTime is how long a server may take that drains.
const drainTime = 15 * time.Second

func serveBook(in *json.Decoder, out *json.Encoder) error {
	var conf bookConf
	if err := in.Decode(&conf); err != nil {
		return err
	}
	if err := limitDescriptors(conf.Descriptors); err != nil {
		return err
	}
	file, err := os.OpenFile(conf.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	s, err := server.New(bookSet().Server(), &book{file}, server.Conf[*book]{
		Logger: quiet, WriteTimeout: conf.WriteTimeout, ReceiveTimeout: conf.ReceiveTimeout,
		Sessions: conf.Sessions, WorkersCount: conf.WorkersCount,
	})
	if err != nil {
		return err
	}
	var addrs []string
	accepted := &conns{buffer: conf.Buffer}
	for _, addr := range conf.Addrs {
		l, err := listenSoon(addr)
		if err != nil {
			return err
		}
		addrs = append(addrs, l.Addr().String())
		go s.Serve(noting{l, accepted})
	}
	out.Encode(addrs)
	for {
		var request string
		if in.Decode(&request) != nil {
			return s.Close()
		}
		switch request {
		case "state":
			err = out.Encode(bookState{Accepted: accepted.count(), Usage: usageNow(), Stats: s.Stats()})
		case "cut":
			err = out.Encode(accepted.cut())
		case "drain":
			ctx, cancel := context.WithTimeout(context.Background(), drainTime)
			err = s.Shutdown(ctx)
			cancel()
			out.Encode(fmt.Sprint(err))
		}
		if err != nil {
			return err
		}
	}
}

// listenSoon listens at an address, once the server before has left it.
func listenSoon(addr string) (net.Listener, error) {
	for deadline := time.Now().Add(drainTime); ; time.Sleep(5 * time.Millisecond) {
		l, err := net.Listen("tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return l, err
		}
	}
}

// noting is a listener that notes its connections, so that they can be cut.
type noting struct {
	net.Listener
	conns *conns
}

func (n noting) Accept() (net.Conn, error) {
	nc, err := n.Listener.Accept()
	if err == nil {
		n.conns.add(nc.(*net.TCPConn))
	}
	return nc, err
}

type conns struct {
	buffer int // of each; 0: the system's

	mu    sync.Mutex // protects what follows
	all   []*net.TCPConn
	total int // ever
}

// count returns how many there were, ever, and lets go of those that are closed.
func (c *conns) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := make([]*net.TCPConn, 0, len(c.all))
	for _, nc := range c.all {
		if raw, err := nc.SyscallConn(); err == nil && raw.Control(func(uintptr) {}) == nil {
			open = append(open, nc)
		}
	}
	c.all = open
	return c.total
}

func (c *conns) add(nc *net.TCPConn) {
	if c.buffer > 0 {
		nc.SetReadBuffer(c.buffer)
		nc.SetWriteBuffer(c.buffer)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, nc)
	c.total++
}

// cut breaks all, and returns how many there were.
func (c *conns) cut() (count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.all {
		nc.SetLinger(0)
		if nc.Close() == nil {
			count++
		}
	}
	c.all = nil
	return count
}

// bookProcess is a book's process.
type bookProcess struct {
	*process
	addrs []string
}

func startBook(t *testing.T, conf bookConf) *bookProcess {
	t.Helper()
	if conf.Addrs == nil {
		conf.Addrs = []string{"127.0.0.1:0"}
	}
	p := &bookProcess{process: startProcess(t, "book", conf)}
	p.read(t, &p.addrs)
	return p
}

// kill kills the process, from which nothing more is to be read.
func (p *bookProcess) kill() {
	p.process.kill()
	p.stdout.Close()
}

func (p *bookProcess) state(t *testing.T) (s bookState) {
	t.Helper()
	p.ask(t, "state", &s)
	return s
}

func (p *bookProcess) usage(t *testing.T) usage {
	t.Helper()
	return p.state(t).Usage
}

// idle returns the state once the server has no clients any more, and no sessions.
func (p *bookProcess) idle(t *testing.T) (s bookState) {
	t.Helper()
	eventually(t, "no client is left, and no session, nor what one has kept", func() bool {
		s = p.state(t)
		return s.Stats.Connections == 0 && s.Stats.Sessions == 0 && s.Stats.Running == 0 && s.Stats.KeptBytes == 0
	})
	return s
}
