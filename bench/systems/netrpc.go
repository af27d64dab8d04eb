package systems

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync"
	"time"
)

// netRPC is net/rpc of the standard library, with its own codec, gob.
type netRPC struct{}

func (netRPC) Info() Info { return Info{Name: "netrpc", Kind: Peer} }

// netService is what net/rpc serves.
type netService struct{ job Job }

// Echo answers with the request.
func (s *netService) Echo(request []byte, answer *[]byte) error {
	s.job.Do()
	*answer = request
	return nil
}

func (netRPC) Serve(conf Conf) (*Server, error) {
	s := rpc.NewServer()
	if err := s.RegisterName("Bench", &netService{conf.Job}); err != nil {
		return nil, err
	}
	return serveConns(conf, func(conn net.Conn) { s.ServeConn(conn) })
}

func (netRPC) Dial(ctx context.Context, addr string, conf Conf) (Conn, error) {
	conn, err := dial(ctx, addr, conf)
	if err != nil {
		return nil, err
	}
	return &netRPCConn{client: rpc.NewClient(conn), conf: conf}, nil
}

type netRPCConn struct {
	client *rpc.Client
	conf   Conf
}

func (c *netRPCConn) Close() { c.client.Close() }

func (c *netRPCConn) Caller() (Caller, error) {
	if c.conf.Timeout == 0 {
		return &netRPCCaller{client: c.client}, nil
	}
	timer := time.NewTimer(c.conf.Timeout)
	return &netRPCTimeoutCaller{client: c.client, timeout: c.conf.Timeout, timer: timer, done: make(chan *rpc.Call, 1)}, nil
}

type netRPCCaller struct {
	client *rpc.Client
	answer []byte
}

func (c *netRPCCaller) Echo(body []byte) ([]byte, error) {
	c.answer = nil
	err := c.client.Call("Bench.Echo", body, &c.answer)
	return c.answer, err
}

// netRPCTimeoutCaller gives each call a deadline, as net/rpc itself can't: by a timer
// beside the channel on which the call comes back.
type netRPCTimeoutCaller struct {
	client  *rpc.Client
	timeout time.Duration
	timer   *time.Timer
	done    chan *rpc.Call
	answer  []byte
}

func (c *netRPCTimeoutCaller) Echo(body []byte) ([]byte, error) {
	c.answer = nil
	c.timer.Reset(c.timeout)
	c.client.Go("Bench.Echo", body, &c.answer, c.done)
	select {
	case call := <-c.done:
		return c.answer, call.Error
	case <-c.timer.C:
		return nil, context.DeadlineExceeded
	}
}

func (c *netRPCConn) Window(flow Flow, size int) error {
	done := make(chan *rpc.Call, size)
	answers := make([][]byte, size)
	return window(flow, size, func(place int) error {
		answers[place] = nil
		c.client.Go("Bench.Echo", flow.Request(place), &answers[place], done)
		return nil
	}, func() ([]byte, error) {
		call := <-done
		return *call.Reply.(*[]byte), call.Error
	})
}

// serveConns accepts connections and serves each in a goroutine of its own, until the
// server is closed, which closes them and waits.
func serveConns(conf Conf, serve func(net.Conn)) (*Server, error) {
	listener, err := listen(conf)
	if err != nil {
		return nil, err
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // protects conns
		conns = map[net.Conn]bool{}
	)
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					continue
				}
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			wg.Go(func() {
				defer func() {
					mu.Lock()
					delete(conns, conn)
					mu.Unlock()
					conn.Close()
				}()
				serve(conn)
			})
		}
	})
	return &Server{Addr: listener.Addr().String(), close: func() {
		listener.Close()
		mu.Lock()
		for conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	}}, nil
}
