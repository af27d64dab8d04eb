package delegate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// ConnConf is what both sides set of a connection.
type ConnConf struct {
	// Transport makes the wire; nil: transport.Framed.
	Transport transport.Factory
	// HelloTimeout bounds the hello; 0: DefaultHelloTimeout.
	HelloTimeout time.Duration
	// WriteTimeout bounds each write; 0: transport.DefaultWriteTimeout.
	WriteTimeout time.Duration
	// Decode decodes the bodies of a transport that can't tell where they end.
	Decode func(slot int, r transport.Reader) (any, error)
	// Open tells which slots a client has commands on; nil at a server.
	Open func(slot int) bool
	// Budget bounds the bodies that come in pieces; nil: without bound.
	Budget transport.Budget
	// LastSeq counts the client's commands; nil at a server.
	LastSeq *atomic.Int64
}

// ClientConf is what a client sets.
type ClientConf struct {
	ConnConf
	// MaxResultSize is the largest result that the client takes, in bytes.
	MaxResultSize int
	// MaxInFlight is how many commands the client wants to have open at most.
	MaxInFlight int
	// Info is told to the server.
	Info []byte
	// Credentials are what the server checks; nil: none.
	Credentials []byte
	// Session is opened or resumed; nil: none.
	Session *transport.Session
	// Compressions are those that the client takes, best first.
	Compressions []uint64
	// ServerInfo is the one that the server must have; nil: DefaultServerInfo.
	ServerInfo []byte
	// CheckServerInfo, if set, decides instead of comparing with ServerInfo.
	CheckServerInfo func(info []byte) error
}

// Connect says hello to the server at the other end of nc. The settings in the
// returned hello have no zeros. On an error it closes nc; the error is an
// *Error with outcome NotSent, or Rejected if the server refuses the client.
func Connect(ctx context.Context, nc net.Conn, conf ClientConf) (*transport.Conn, transport.Hello, error) {
	var conn *transport.Conn
	var hello transport.Hello
	err := withHelloDeadline(ctx, nc, conf.HelloTimeout, func() error {
		if _, err := handshake(ctx, nc); err != nil {
			return err
		}
		conn = newConn(nc, conf.Transport, transport.Options{
			MaxBody: conf.MaxResultSize, MaxSlots: conf.MaxInFlight, Decode: conf.Decode, Open: conf.Open, Budget: conf.Budget,
		}, conf.ConnConf)
		// A server that refuses may close before it reads, so that the write
		// fails; what it has to say counts more than that.
		said := conn.SayHello(&transport.Hello{
			Info: conf.Info, MaxResultSize: conf.MaxResultSize,
			Credentials: conf.Credentials, Session: conf.Session, Compressions: conf.Compressions,
		})
		if errors.Is(said, base.ErrUnsupported) {
			return said
		}
		if err := conn.HearHello(&hello); err != nil {
			if said != nil {
				return said
			}
			return err
		}
		if hello.Status != transport.OK {
			return refusal(hello)
		}
		if err := conf.checkServerInfo(hello.Info); err != nil {
			return err
		}
		return conf.checkAnswer(hello)
	})
	if err != nil {
		if conn != nil {
			conn.Fail(err)
			conn.Join()
		}
		nc.Close()
		return nil, hello, helloError(err)
	}
	hello.Settings = hello.Settings.WithDefaults()
	return conn, hello, nil
}

// checkAnswer holds the server's answer against what the client asked for.
func (conf ClientConf) checkAnswer(hello transport.Hello) error {
	if conf.Session != nil && hello.SessionTime <= 0 {
		return &base.Error{Outcome: base.NotSent, Code: base.ErrUnsupported, Message: "the server keeps no sessions"}
	}
	if hello.Compression != 0 && !slices.Contains(conf.Compressions, hello.Compression) {
		return transport.BrokenRule("the server chose compression %d, which was not offered", hello.Compression)
	}
	return nil
}

func (conf ClientConf) checkServerInfo(info []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &base.Error{Outcome: base.NotSent, Code: base.ErrServerInfo, Message: fmt.Sprintf("CheckServerInfo panicked: %v", v)}
		}
	}()
	if conf.CheckServerInfo != nil {
		if err := conf.CheckServerInfo(bytes.Clone(info)); err != nil {
			return &base.Error{Outcome: base.NotSent, Code: base.ErrServerInfo, Message: "the server's ServerInfo was refused", Err: err}
		}
		return nil
	}
	want := conf.ServerInfo
	if want == nil {
		want = []byte(DefaultServerInfo)
	}
	if !bytes.Equal(info, want) {
		return &base.Error{Outcome: base.NotSent, Code: base.ErrServerInfo, Message: fmt.Sprintf("the server's ServerInfo is %.64q, this client expects %.64q", info, want)}
	}
	return nil
}

var refusals = map[transport.Status]struct {
	code base.Code
	text string
}{
	transport.Full:         {base.ErrFull, "the server has as many clients as it takes"},
	transport.Draining:     {base.ErrDraining, "the server is shutting down"},
	transport.Version:      {base.ErrVersion, "the server speaks another version of the protocol"},
	transport.Unauthorized: {base.ErrUnauthorized, "the server does not accept this client"},
	transport.StaleEpoch:   {base.ErrStaleEpoch, "the session has gone on over a newer connection"},
	transport.SessionLost:  {base.ErrSessionLost, "the server does not hold the session"},
}

// refusal is what a server's answer means that is not OK.
func refusal(hello transport.Hello) error {
	known, ok := refusals[hello.Status]
	if !ok {
		known.code, known.text = base.ErrUnsupported, "the server refused the connection"
	}
	if hello.Text != "" {
		known.text += ": " + hello.Text
	}
	return &base.Error{
		Outcome: base.Rejected, Code: known.code, Message: known.text,
		Remote: true, RetryAfter: hello.RetryAfter,
	}
}
