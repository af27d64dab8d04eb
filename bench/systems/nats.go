package systems

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsSystem is request and reply over a NATS server that is embedded in the server's
// process, as is the one that replies, on a connection of its own.
type natsSystem struct{}

func (natsSystem) Info() Info {
	return Info{Name: "nats", Kind: Peer, Module: "github.com/nats-io/nats-server/v2", NoLarge: true}
}

const natsSubject = "e"

func (natsSystem) Serve(conf Conf) (*Server, error) {
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	tlsConf, _, err := conf.tls()
	if err != nil {
		return nil, err
	}
	if tlsConf != nil {
		options.TLS, options.TLSConfig = true, tlsConf
	}
	if conf.MaxBody > 0 {
		options.MaxPayload = int32(conf.MaxBody)
		options.MaxPending = 4 * int64(conf.MaxBody)
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, err
	}
	s.Start()
	stop := func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	if !s.ReadyForConnections(10 * time.Second) {
		stop()
		return nil, errors.New("the NATS server was not ready within 10 s")
	}
	addr := s.Addr().String()
	replier, err := natsDial(addr, conf)
	if err != nil {
		stop()
		return nil, err
	}
	subscription, err := replier.Subscribe(natsSubject, func(m *nats.Msg) {
		if !conf.Long() {
			m.Respond(m.Data)
			return
		}
		go func() {
			conf.Do()
			m.Respond(m.Data)
		}()
	})
	if err == nil {
		err = errors.Join(subscription.SetPendingLimits(-1, -1), replier.Flush())
	}
	if err != nil {
		replier.Close()
		stop()
		return nil, err
	}
	return &Server{Addr: addr, close: func() {
		replier.Close()
		stop()
	}}, nil
}

func natsDial(addr string, conf Conf) (*nats.Conn, error) {
	_, tlsConf, err := conf.tls()
	if err != nil {
		return nil, err
	}
	options := []nats.Option{nats.NoReconnect(), nats.Timeout(10 * time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	if tlsConf != nil {
		options = append(options, nats.Secure(tlsConf))
	}
	conn, err := nats.Connect("nats://"+addr, options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	return conn, nil
}

func (natsSystem) Dial(_ context.Context, addr string, conf Conf) (Conn, error) {
	conn, err := natsDial(addr, conf)
	if err != nil {
		return nil, err
	}
	return &natsConn{conn: conn, timeout: conf.timeout()}, nil
}

type natsConn struct {
	conn    *nats.Conn
	timeout time.Duration
}

func (c *natsConn) Close() { c.conn.Close() }

func (c *natsConn) Caller() (Caller, error) { return natsCaller{c}, nil }

type natsCaller struct{ conn *natsConn }

func (c natsCaller) Echo(body []byte) ([]byte, error) {
	answer, err := c.conn.conn.Request(natsSubject, body, c.conn.timeout)
	if err != nil {
		return nil, err
	}
	return answer.Data, nil
}
