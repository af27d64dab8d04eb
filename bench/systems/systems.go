// Package systems holds what the benchmarks compare: one file for each system, all
// behind the same small interface, so that everyone is asked for the same work.
package systems

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// ResultSize is the size in bytes of each result of a stream.
const ResultSize = 32

// A Kind says what a system is in the comparison.
type Kind string

// The kinds of systems.
const (
	Ours  Kind = "cmdstream" // this library, in one of its forms
	Peer  Kind = "peer"
	Limit Kind = "limit" // written by hand; no library could do much better
)

// Info describes a system.
type Info struct {
	Name string
	Kind Kind
	// Module is the path of the Go module that is measured; empty for what is
	// written by hand or belongs to Go.
	Module string
	// OwnConns: a connection carries one call at a time, so each caller has one of its
	// own, and the figures for "one connection" are really those of many.
	OwnConns bool
	// NoLarge: a body of tens of mebibytes is beyond what it is made for.
	NoLarge bool
	// NoTLS: its connections are plain ones.
	NoTLS bool
	// SendsMessages: it writes by sendmsg, which no counter of the kernel's for a process counts.
	SendsMessages bool
	// Windowed: it has no callers at all, only windows of requests.
	Windowed bool
}

// Conf says how a server and its connections are set up. The zero value means the
// system's own defaults. Both ends get the same.
type Conf struct {
	// Timeout is the deadline of every call; 0: none.
	Timeout time.Duration
	// Job is what the handler does before it answers.
	Job
	// Stream: the server's command is a stream of results instead of an echo, where a
	// system can't have both beside each other.
	Stream bool
	// MaxBody is the largest body in bytes, if it is above what a system takes by
	// default, which is 1 MiB or more everywhere; 0: the default.
	MaxBody int
	// MaxConns is how many connections there are, if they are many; 0: the default.
	MaxConns int
	// MaxCalls is how many calls are open on a connection at once, if they are many;
	// 0: the default.
	MaxCalls int
	// Certificate and Key, in PEM, make the connections TLS ones; nil: plain TCP.
	Certificate, Key []byte
}

// A System is a way to call a server. It may be used by many goroutines at once.
type System interface {
	Info() Info
	// Serve starts a server on a free port of the loopback interface.
	Serve(conf Conf) (*Server, error)
	// Dial connects to one. For a system with OwnConns each Caller dials.
	Dial(ctx context.Context, addr string, conf Conf) (Conn, error)
}

// A Server is one that runs.
type Server struct {
	Addr  string
	close func()
}

// Close stops the server and closes its connections.
func (s *Server) Close() { s.close() }

// A Conn is a connection. It may be used by many goroutines at once. It may have the
// further methods of Windower and Streamer.
type Conn interface {
	Caller() (Caller, error)
	Close()
}

// A Caller makes calls, one after another. It belongs to one goroutine.
type Caller interface {
	// Echo returns what the server answers to body. The answer holds until the next
	// Echo, and so long body must not change.
	Echo(body []byte) (answer []byte, err error)
}

// A Flow is where a window gets its requests and brings its answers.
type Flow interface {
	// Request returns the body of the next request of a place in the window.
	Request(place int) []byte
	// Answer takes an answer and says which place it belongs to. It may be called by
	// one goroutine while another calls Request.
	Answer(body []byte) (place int, err error)
	// Done says that no further request is to be made.
	Done() bool
}

// A Windower makes calls without waiting for their answers.
type Windower interface {
	// Window keeps size calls open from one goroutine until the flow is done, and
	// returns when all have been answered.
	Window(flow Flow, size int) error
}

// window keeps size calls open until the flow is done: send makes the call of a place, and
// next returns the body of the answer that comes next.
func window(flow Flow, size int, send func(place int) error, next func() ([]byte, error)) error {
	for place := range size {
		if err := send(place); err != nil {
			return err
		}
	}
	for open := size; open > 0; {
		body, err := next()
		if err != nil {
			return err
		}
		place, err := flow.Answer(body)
		switch {
		case err != nil:
			return err
		case flow.Done():
			open--
		default:
			if err := send(place); err != nil {
				return err
			}
		}
	}
	return nil
}

// serving runs serve in a goroutine, and returns a server that stop ends.
func serving(addr net.Addr, serve, stop func()) *Server {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		serve()
	}()
	return &Server{Addr: addr.String(), close: func() {
		stop()
		<-ended
	}}
}

// A Streamer receives streams of results.
type Streamer interface {
	// Stream asks for results of ResultSize bytes, made by FillResult, and hands each to
	// take, in order. It may be used by many goroutines at once.
	Stream(results int, take func(result []byte) error) error
}

// FillResult writes the result with the given number into result.
func FillResult(result []byte, number int) {
	for i := range result {
		result[i] = byte(number >> (8 * (i & 7)))
	}
}

// All returns all systems, in the order in which they are shown.
func All() []System {
	return []System{
		commandForm{name: "cmdstream"},
		commandForm{name: "cmdstream-session", session: true},
		typedForm{},
		grpcSystem{},
		connectSystem{},
		drpcSystem{},
		netRPC{},
		arpcSystem{},
		rpcxSystem{},
		kitexSystem{},
		natsSystem{},
		raw{},
		rawBatch{},
	}
}

// ByName returns the system of that name.
func ByName(name string) (System, error) {
	all := All()
	i := slices.IndexFunc(all, func(s System) bool { return s.Info().Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no system %q", name)
	}
	return all[i], nil
}

// errNoAnswer is a call's error where the system only says that something ended.
var errNoAnswer = errors.New("the call ended without an answer")

// patience is the timeout of calls of systems that have no calls without one.
const patience = time.Minute

// timeout is the deadline of a call for systems that must have one.
func (c Conf) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return patience
}

// context returns the ctx of one call, for systems whose deadlines are those of a ctx.
func (c Conf) context() (context.Context, context.CancelFunc) {
	if c.Timeout > 0 {
		return context.WithTimeout(context.Background(), c.Timeout)
	}
	return context.Background(), func() {}
}

// tls returns the configurations of server and client, or nil, nil without TLS.
func (c Conf) tls() (server, client *tls.Config, err error) {
	if c.Certificate == nil {
		return nil, nil, nil
	}
	pair, err := tls.X509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.Certificate)
	return &tls.Config{Certificates: []tls.Certificate{pair}}, &tls.Config{RootCAs: roots, ServerName: "localhost"}, nil
}

// listen listens on a free port of the loopback interface, with TLS if conf says so.
func listen(conf Conf) (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server, _, err := conf.tls()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if server != nil {
		return tls.NewListener(listener, server), nil
	}
	return listener, nil
}

// dial connects to addr, with TLS if conf says so.
func dial(ctx context.Context, addr string, conf Conf) (net.Conn, error) {
	_, client, err := conf.tls()
	if err != nil {
		return nil, err
	}
	if client != nil {
		return (&tls.Dialer{Config: client}).DialContext(ctx, "tcp", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}
