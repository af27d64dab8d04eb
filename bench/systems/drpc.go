package systems

import (
	"context"
	"net"
	"sync"

	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmanager"
	"storj.io/drpc/drpcserver"
	"storj.io/drpc/drpcwire"
)

// drpcSystem is drpc with an encoding that moves bytes. Its connections carry one call
// at a time, so it has one for each caller, as its own pool would give it.
type drpcSystem struct{}

func (drpcSystem) Info() Info {
	return Info{Name: "drpc", Kind: Peer, Module: "storj.io/drpc", OwnConns: true}
}

type drpcEncoding struct{}

func (drpcEncoding) Marshal(message drpc.Message) ([]byte, error) {
	p, err := bytesOf(message)
	if err != nil {
		return nil, err
	}
	return p.body, nil
}

func (drpcEncoding) MarshalAppend(buffer []byte, message drpc.Message) ([]byte, error) {
	p, err := bytesOf(message)
	if err != nil {
		return nil, err
	}
	return append(buffer, p.body...), nil
}

func (drpcEncoding) Unmarshal(data []byte, message drpc.Message) error {
	p, err := bytesOf(message)
	if err != nil {
		return err
	}
	p.keep(data)
	return nil
}

func drpcOptions(conf Conf) drpcmanager.Options {
	return drpcmanager.Options{Reader: drpcwire.ReaderOptions{MaximumBufferSize: conf.MaxBody}}
}

type drpcHandler struct{ job Job }

func (h drpcHandler) HandleRPC(stream drpc.Stream, rpc string) error {
	request := new(payload)
	if err := stream.MsgRecv(request, drpcEncoding{}); err != nil {
		return err
	}
	if rpc == "/Bench/Echo" {
		h.job.Do()
		return stream.MsgSend(request, drpcEncoding{})
	}
	results := count(request.body)
	result := payload{body: make([]byte, ResultSize)}
	for i := range results {
		FillResult(result.body, i)
		if err := stream.MsgSend(&result, drpcEncoding{}); err != nil {
			return err
		}
	}
	return nil
}

func (drpcSystem) Serve(conf Conf) (*Server, error) {
	s := drpcserver.NewWithOptions(drpcHandler{conf.Job}, drpcserver.Options{Manager: drpcOptions(conf)})
	return serveConns(conf, func(conn net.Conn) { s.ServeOne(context.Background(), conn) })
}

func (drpcSystem) Dial(_ context.Context, addr string, conf Conf) (Conn, error) {
	return &drpcConn{addr: addr, conf: conf}, nil
}

type drpcConn struct {
	addr string
	conf Conf

	// mu protects conns, those of the callers.
	mu    sync.Mutex
	conns []*drpcconn.Conn
}

func (c *drpcConn) dial() (*drpcconn.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := dial(ctx, c.addr, c.conf)
	if err != nil {
		return nil, err
	}
	client := drpcconn.NewWithOptions(conn, drpcconn.Options{Manager: drpcOptions(c.conf)})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, client)
	return client, nil
}

func (c *drpcConn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

func (c *drpcConn) Caller() (Caller, error) {
	client, err := c.dial()
	if err != nil {
		return nil, err
	}
	return &drpcCaller{client: client, conf: c.conf}, nil
}

type drpcCaller struct {
	client          *drpcconn.Conn
	conf            Conf
	request, answer payload
}

func (c *drpcCaller) Echo(body []byte) ([]byte, error) {
	ctx, cancel := c.conf.context()
	defer cancel()
	c.request.body = body
	err := c.client.Invoke(ctx, "/Bench/Echo", drpcEncoding{}, &c.request, &c.answer)
	return c.answer.body, err
}

func (c *drpcConn) Stream(results int, take func([]byte) error) error {
	client, err := c.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	stream, err := client.NewStream(context.Background(), "/Bench/Results", drpcEncoding{})
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := stream.MsgSend(&payload{body: countBody(results)}, drpcEncoding{}); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var result payload
	for range results {
		if err := stream.MsgRecv(&result, drpcEncoding{}); err != nil {
			return err
		}
		if err := take(result.body); err != nil {
			return err
		}
	}
	return nil
}
