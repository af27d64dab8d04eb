package delegate

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/cmdstream/cmdstream/transport"
)

// ServerConf is what a server sets.
type ServerConf struct {
	ConnConf
	// Info is the ServerInfo; nil: DefaultServerInfo.
	Info []byte
	// Settings are announced to the client, and enforced.
	Settings transport.ServerSettings
	// Catalogue is what the codec says of its commands; nil: nothing.
	Catalogue []byte
	// Admit decides whether a client whose hello has come may stay: it sets the
	// answer's Status, with Text and RetryAfter where that is a refusal, and what
	// else is to be told. ctx ends with the hello. The nil Admit takes all.
	Admit func(ctx context.Context, hello *transport.Hello, state *tls.ConnectionState, answer *transport.Hello)
}

// lingerTime is how long a refused peer has to read why.
const lingerTime = time.Second

// Accept answers the hello of the client at the other end of nc. It returns the
// client's hello, and the state of TLS where nc is TLS. On an error it closes
// nc, if it can in such a way that the client still reads the refusal.
func Accept(ctx context.Context, nc net.Conn, conf ServerConf) (*transport.Conn, transport.Hello, *tls.ConnectionState, error) {
	var conn *transport.Conn
	var hello transport.Hello
	var state *tls.ConnectionState
	refused := false
	settings := conf.Settings.WithDefaults()
	options := transport.Options{
		Server: true, MaxBody: settings.MaxCmdSize, MaxSlots: settings.MaxInFlight, Decode: conf.Decode, Budget: conf.Budget,
	}
	err := withHelloDeadline(ctx, nc, conf.HelloTimeout, func() (err error) {
		if state, err = handshake(ctx, nc); err != nil {
			if bare := withoutTLS(err); bare != nil {
				conn = newConn(bare, conf.Transport, options, conf.ConnConf)
				refused = conn.SayHello(&transport.Hello{Status: transport.Refused, Text: "it takes TLS only, and this client speaks without"}) == nil
			}
			return err
		}
		conn = newConn(nc, conf.Transport, options, conf.ConnConf)
		if err := conn.HearHello(&hello); err != nil {
			return err
		}
		answer := transport.Hello{
			Info: conf.Info, Settings: settings,
			Status: hello.Status, Text: hello.Text,
		}
		if answer.Info == nil {
			answer.Info = []byte(DefaultServerInfo)
		}
		if answer.Status == transport.OK && conf.Admit != nil {
			conf.admit(ctx, &hello, state, &answer)
		}
		if answer.Status == transport.OK {
			answer.Catalogue = conf.Catalogue
		}
		if err := conn.SayHello(&answer); err != nil {
			return err
		}
		if answer.Status != transport.OK {
			refused = true
			return refusal(answer)
		}
		return nil
	})
	if err == nil {
		return conn, hello, state, nil
	}
	if refused {
		stop := context.AfterFunc(ctx, func() { conn.Fail(err) })
		conn.Finish(err, lingerTime)
		stop()
	}
	if conn != nil {
		conn.Fail(err)
		conn.Join()
	}
	nc.Close()
	return nil, hello, nil, helloError(err)
}

// admit calls Admit, with a ctx that ends with the hello.
func (conf ServerConf) admit(ctx context.Context, hello *transport.Hello, state *tls.ConnectionState, answer *transport.Hello) {
	timeout := conf.HelloTimeout
	if timeout <= 0 {
		timeout = DefaultHelloTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conf.Admit(ctx, hello, state, answer)
}
