package systems

import (
	"context"
	"sync"
	"time"

	"github.com/smallnest/rpcx/client"
	"github.com/smallnest/rpcx/log"
	"github.com/smallnest/rpcx/protocol"
	"github.com/smallnest/rpcx/server"
)

// rpcxSystem is rpcx with its codec for bytes, and a handler that is registered as a
// function, its quickest kind.
type rpcxSystem struct{}

func (rpcxSystem) Info() Info {
	return Info{Name: "rpcx", Kind: Peer, Module: "github.com/smallnest/rpcx"}
}

// quietRPCX keeps rpcx's log, which is one for all, off the output.
var quietRPCX = sync.OnceFunc(log.SetDummyLogger)

func (rpcxSystem) Serve(conf Conf) (*Server, error) {
	quietRPCX()
	listener, err := listen(conf)
	if err != nil {
		return nil, err
	}
	s := server.NewServer()
	s.AddHandler("b", "e", func(ctx *server.Context) error {
		conf.Do()
		return ctx.Write(ctx.Payload())
	})
	go s.ServeListener("tcp", listener)
	return &Server{Addr: listener.Addr().String(), close: func() { s.Close() }}, nil
}

func (rpcxSystem) Dial(_ context.Context, addr string, conf Conf) (Conn, error) {
	quietRPCX()
	option := client.DefaultOption
	option.SerializeType = protocol.SerializeNone
	option.ConnectTimeout = 10 * time.Second
	_, tlsConf, err := conf.tls()
	if err != nil {
		return nil, err
	}
	option.TLSConfig = tlsConf
	c := client.NewClient(option)
	if err := c.Connect("tcp", addr); err != nil {
		return nil, err
	}
	return &rpcxConn{client: c, conf: conf}, nil
}

type rpcxConn struct {
	client *client.Client
	conf   Conf
}

func (c *rpcxConn) Close() { c.client.Close() }

func (c *rpcxConn) Caller() (Caller, error) { return &rpcxCaller{conn: c}, nil }

type rpcxCaller struct {
	conn   *rpcxConn
	answer []byte
}

func (c *rpcxCaller) Echo(body []byte) ([]byte, error) {
	ctx, cancel := c.conn.conf.context()
	defer cancel()
	err := c.conn.client.Call(ctx, "b", "e", body, &c.answer)
	return c.answer, err
}

func (c *rpcxConn) Window(flow Flow, size int) error {
	done := make(chan *client.Call, size)
	answers := make([][]byte, size)
	return window(flow, size, func(place int) error {
		c.client.Go(context.Background(), "b", "e", flow.Request(place), &answers[place], done)
		return nil
	}, func() ([]byte, error) {
		call := <-done
		return *call.Reply.(*[]byte), call.Error
	})
}
