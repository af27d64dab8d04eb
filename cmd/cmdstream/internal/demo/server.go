package demo

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

// Fault is something that the server does wrong on purpose, so that tests can
// see it found out.
type Fault string

// The faults.
const (
	FaultBalance Fault = "balance" // Balance is one too much
	FaultBook    Fault = "book"    // a command seems to have run twice
	FaultEcho    Fault = "echo"    // a byte of an answer is another
)

// order is what the server process reads first.
type order struct {
	Certificate []byte // the client's
	Fault       Fault
}

// notice is what the server process writes when it is ready.
type notice struct {
	Bank, SecureBank, Echo string // addresses
	Certificate            []byte // the server's
}

// Serve is the server process: three servers on free ports of this machine. It
// reads its order from in, writes its notice to out, and ends when in or ctx
// does.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("this command is for cmdstream demo only: its order is missing: %w", err)
	}
	conf, certificate, err := serverTLS(o.Certificate)
	if err != nil {
		return err
	}
	bank, echoes, commands := &Bank{fault: o.Fault}, newEchoServer(o.Fault), set().Server()
	n := notice{Certificate: certificate}
	h := host{ended: make(chan error, 1)}
	defer h.close()
	if n.Bank, err = h.add(server.New(commands, bank, quiet[*Bank](nil))); err != nil {
		return err
	}
	if n.SecureBank, err = h.add(server.New(commands, bank, quiet[*Bank](conf))); err != nil {
		return err
	}
	if n.Echo, err = h.add(server.New(echoServerCodec{echoes}, echoes, quiet[*echoServer](nil))); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(n); err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, in)
		h.end(err)
	}()
	select {
	case err := <-h.ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// host runs several servers until the first of them ends.
type host struct {
	servers []*server.Server
	ended   chan error // of capacity 1
}

// add has a server serve on a free port, and returns the address. Its arguments
// are what server.New returns.
func (h *host) add(s *server.Server, err error) (addr string, _ error) {
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	h.servers = append(h.servers, s)
	go func() { h.end(s.Serve(l)) }()
	return l.Addr().String(), nil
}

func (h *host) end(err error) {
	select {
	case h.ended <- err:
	default: // it has ended already
	}
}

func (h *host) close() {
	for _, s := range h.servers {
		s.Close()
	}
}

// quiet is the Conf of a server whose panics and lost connections are meant.
func quiet[T any](conf *tls.Config) server.Conf[T] {
	return server.Conf[T]{
		TLSConfig: conf,
		OnPanic:   func(handler.Panic) {},
		Logger:    slog.New(slog.DiscardHandler),
	}
}

// serverTLS returns the TLS side of the server, and its certificate.
func serverTLS(client []byte) (*tls.Config, []byte, error) {
	own, err := selfSigned("demo server")
	if err != nil {
		return nil, nil, err
	}
	trusted, err := trusting(client)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    trusted,
	}, own.Certificate[0], nil
}
