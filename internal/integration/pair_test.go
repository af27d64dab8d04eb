package integration_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// kind is one cell of the matrix.
type kind struct {
	network func(t *testing.T) *place
	codecs  codecs
	wire    transport.Factory
	framed  bool
}

// matrix calls visit in a parallel subtest for each kind of connection.
func matrix(t *testing.T, visit func(t *testing.T, k kind)) {
	eachKind(func(name string, k kind) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			visit(t, k)
		})
	})
}

func eachKind(visit func(name string, k kind)) {
	for _, network := range networks {
		for _, codecs := range allCodecs() {
			visit(network.name+"/"+codecs.name+"/framed", kind{network.make, codecs, transport.Framed, true})
			visit(network.name+"/"+codecs.name+"/plain", kind{network.make, codecs, transport.Plain, false})
		}
	}
}

// pair is a server and its client.
type pair struct {
	kind
	place  *place
	desk   *desk // the server's receiver; nil: it is in another process
	server *server.Server
	client *client.Client[*desk]
}

// connect starts a server and a client. They end with the test.
func (k kind) connect(t *testing.T, clientConf client.Conf, serverConf server.Conf[*desk]) *pair {
	t.Helper()
	p := &pair{kind: k, place: k.network(t), desk: newDesk()}
	p.serve(t, serverConf)
	p.dial(t, clientConf)
	return p
}

// serve starts a server, for the first time or after the one before was closed.
func (p *pair) serve(t *testing.T, conf server.Conf[*desk]) {
	t.Helper()
	conf.Transport, conf.TLSConfig = p.wire, p.place.serverTLS
	if conf.Logger == nil {
		conf.Logger = quiet
	}
	s, err := server.New(p.codecs.server, p.desk, conf)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := p.place.listen()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("closing the server:", err)
		}
		if err := <-served; !errors.Is(err, server.ErrClosed) {
			t.Error("Serve returned", err)
		}
	})
	p.server = s
}

func (p *pair) dial(t *testing.T, conf client.Conf) {
	t.Helper()
	conf.Transport, conf.Logger = p.wire, quiet
	c, err := client.NewReconnect(t.Context(), p.codecs.client, p.place.dial, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p.client = c
}

var quiet = slog.New(slog.DiscardHandler)
