// Tls shows mutual TLS: client and server show each other certificates, and a
// command learns which client has sent it.
//
//	go run ./examples/tls
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// Desk is the receiver. It greets clients by the names in their certificates.
type Desk struct{}

// Welcome finds the certificate in the ctx of the command.
func (Desk) Welcome(ctx context.Context) (string, error) {
	state := base.TLS(ctx)
	if state == nil || len(state.PeerCertificates) == 0 {
		return "", errors.New("this client has shown no certificate")
	}
	return "welcome, " + state.PeerCertificates[0].Subject.CommonName, nil
}

// Enter is a command.
type Enter struct{}

// Run runs at the server.
func (Enter) Run(ctx context.Context, desk Desk) (string, error) { return desk.Welcome(ctx) }

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	set := codec.NewSet[Desk](json.Format{})
	codec.Unary[Enter](set, 1)

	addr, stop, err := serve(set, authority)
	if err != nil {
		return err
	}
	defer stop()

	for _, name := range []string{"Ada", "Grace"} {
		certificate, err := authority.issue(name)
		if err != nil {
			return err
		}
		answer, err := enter(set, addr, &tls.Config{
			RootCAs:      authority.pool, // who has signed the server's certificate
			Certificates: []tls.Certificate{certificate},
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(w, answer)
	}

	// Without a certificate the server does not let anybody in.
	if answer, err := enter(set, addr, &tls.Config{RootCAs: authority.pool}); err == nil {
		return fmt.Errorf("a client without a certificate was told: %s", answer)
	}
	fmt.Fprintln(w, "a client without a certificate was refused")
	return nil
}

// serve starts a server that demands certificates of its clients.
func serve(set *codec.Set[Desk], authority *authority) (addr string, stop func() error, err error) {
	certificate, err := authority.issue("server")
	if err != nil {
		return "", nil, err
	}
	s, err := server.New(set.Server(), Desk{}, server.Conf[Desk]{
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    authority.pool, // who has signed the clients' certificates
		},
		Logger: slog.New(slog.DiscardHandler), // it would warn of the client that is refused
	})
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return "", nil, err
	}
	go s.Serve(listener) // until Close
	return listener.Addr().String(), s.Close, nil
}

// enter connects as conf says, and sends one command.
func enter(set *codec.Set[Desk], addr string, conf *tls.Config) (string, error) {
	ctx := context.Background()
	conn, err := client.TLS(addr, conf)(ctx)
	if err != nil {
		return "", err
	}
	c, err := client.New(ctx, set.Client(), conn, client.Conf{})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return cmdstream.Do(ctx, c, Enter{})
}
