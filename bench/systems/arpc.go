package systems

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/lesismal/arpc"
	"github.com/lesismal/arpc/log"
)

// arpcSystem is arpc with its defaults: batched reads and writes. Bodies of type
// []byte pass its codec by.
type arpcSystem struct{}

func (arpcSystem) Info() Info {
	return Info{Name: "arpc", Kind: Peer, Module: "github.com/lesismal/arpc"}
}

const arpcMethod = "/echo"

// quietArpc keeps arpc's log, which is one for all, off the output.
var quietArpc = sync.OnceFunc(func() { log.SetLevel(log.LevelNone) })

func (arpcSystem) Serve(conf Conf) (*Server, error) {
	quietArpc()
	listener, err := listen(conf)
	if err != nil {
		return nil, err
	}
	s := arpc.NewServer()
	limitBodies(s.Handler, conf)
	// The last argument: a handler that waits needs a goroutine of its own; one that does
	// not is quicker without.
	s.Handler.Handle(arpcMethod, func(ctx *arpc.Context) {
		conf.Do()
		ctx.Write(ctx.Body())
	}, conf.Long())
	// Without its listener the server stops by itself; its Stop would not wait for that.
	return serving(listener.Addr(), func() { s.Serve(listener) }, func() { listener.Close() }), nil
}

func limitBodies(handler arpc.Handler, conf Conf) {
	if conf.MaxBody > 0 {
		handler.SetMaxBodyLen(conf.MaxBody)
	}
}

func (arpcSystem) Dial(ctx context.Context, addr string, conf Conf) (Conn, error) {
	quietArpc()
	handler := arpc.NewHandler()
	limitBodies(handler, conf)
	client, err := arpc.NewClient(func() (net.Conn, error) { return dial(ctx, addr, conf) }, handler)
	if err != nil {
		return nil, err
	}
	return &arpcConn{client: client, timeout: conf.timeout()}, nil
}

type arpcConn struct {
	client  *arpc.Client
	timeout time.Duration
}

func (c *arpcConn) Close() { c.client.Stop() }

func (c *arpcConn) Caller() (Caller, error) { return &arpcCaller{conn: c}, nil }

type arpcCaller struct {
	conn   *arpcConn
	answer []byte
}

func (c *arpcCaller) Echo(body []byte) ([]byte, error) {
	err := c.conn.client.Call(arpcMethod, body, &c.answer, c.conn.timeout)
	return c.answer, err
}

// Window gets its answers in callbacks, which run in the goroutine that reads the
// connection or in others: they hand a copy over, as the bytes are arpc's.
func (c *arpcConn) Window(flow Flow, size int) error {
	type answer struct {
		body []byte
		err  error
	}
	answers := make(chan answer, size)
	take := func(ctx *arpc.Context, err error) {
		if err != nil {
			answers <- answer{err: err}
			return
		}
		answers <- answer{body: append([]byte(nil), ctx.Body()...)}
	}
	return window(flow, size, func(place int) error {
		return c.client.CallAsync(arpcMethod, flow.Request(place), take, c.timeout)
	}, func() ([]byte, error) {
		a := <-answers
		return a.body, a.err
	})
}
