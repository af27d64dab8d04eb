package systems

import (
	"context"
	"sync"
	"time"

	"github.com/bytedance/gopkg/util/logger"
	"github.com/cloudwego/gopkg/protocol/thrift"
	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/klog"
	"github.com/cloudwego/kitex/pkg/serviceinfo"
	"github.com/cloudwego/kitex/server"
)

// kitexSystem is Kitex with its multiplexed connections over netpoll, and a service described
// by hand: a thrift struct of one binary field, encoded as generated code does it.
type kitexSystem struct{}

func (kitexSystem) Info() Info {
	return Info{Name: "kitex", Kind: Peer, Module: "github.com/cloudwego/kitex", NoTLS: true, SendsMessages: true}
}

// quietKitex keeps Kitex's logs, which are one for all, off the output: its pool of goroutines has
// one of its own, for what panics as a connection is closed.
var quietKitex = sync.OnceFunc(func() {
	klog.SetLevel(klog.LevelFatal)
	logger.SetLevel(logger.LevelFatal)
})

// kitexBody is the arguments of a call, and its result.
type kitexBody struct{ body []byte }

// BLength implements thrift.FastCodec.
func (b *kitexBody) BLength() int {
	return thrift.Binary.FieldBeginLength() + thrift.Binary.BinaryLengthNocopy(b.body) + thrift.Binary.FieldStopLength()
}

// FastWriteNocopy implements thrift.FastCodec.
func (b *kitexBody) FastWriteNocopy(buffer []byte, w thrift.NocopyWriter) int {
	n := thrift.Binary.WriteFieldBegin(buffer, thrift.STRING, 1)
	n += thrift.Binary.WriteBinaryNocopy(buffer[n:], w, b.body)
	return n + thrift.Binary.WriteFieldStop(buffer[n:])
}

// FastRead implements thrift.FastCodec.
func (b *kitexBody) FastRead(buffer []byte) (int, error) {
	read := 0
	for {
		kind, id, n, err := thrift.Binary.ReadFieldBegin(buffer[read:])
		read += n
		if err != nil || kind == thrift.STOP {
			return read, err
		}
		if id == 1 && kind == thrift.STRING {
			b.body, n, err = thrift.Binary.ReadBinary(buffer[read:])
		} else {
			n, err = thrift.Binary.Skip(buffer[read:], kind)
		}
		read += n
		if err != nil {
			return read, err
		}
	}
}

// kitexService describes the service. Its handler is a *Job.
func kitexService() *serviceinfo.ServiceInfo {
	body := func() any { return new(kitexBody) }
	return &serviceinfo.ServiceInfo{
		ServiceName:  "Bench",
		HandlerType:  (*Job)(nil),
		PayloadCodec: serviceinfo.Thrift,
		Methods: map[string]serviceinfo.MethodInfo{
			"Echo": serviceinfo.NewMethodInfo(func(_ context.Context, handler, request, answer any) error {
				handler.(*Job).Do()
				answer.(*kitexBody).body = request.(*kitexBody).body
				return nil
			}, body, body, false),
		},
	}
}

func (kitexSystem) Serve(conf Conf) (*Server, error) {
	quietKitex()
	listener, err := listen(conf)
	if err != nil {
		return nil, err
	}
	stop := make(chan error)
	s := server.NewServer(
		server.WithListener(listener),
		server.WithMuxTransport(), // the other transports carry one call at a time
		server.WithExitSignal(func() <-chan error { return stop }),
		server.WithExitWaitTime(time.Millisecond),
	)
	if err := s.RegisterService(kitexService(), &conf.Job); err != nil {
		return nil, err
	}
	return serving(listener.Addr(), func() { s.Run() }, func() { close(stop) }), nil
}

func (kitexSystem) Dial(_ context.Context, addr string, conf Conf) (Conn, error) {
	quietKitex()
	options := []client.Option{
		client.WithDestService("Bench"),
		client.WithHostPorts(addr),
		client.WithMuxConnection(1),
	}
	if conf.Timeout > 0 {
		options = append(options, client.WithRPCTimeout(conf.Timeout))
	}
	c, err := client.NewClient(kitexService(), options...)
	if err != nil {
		return nil, err
	}
	return &kitexConn{c}, nil
}

type kitexConn struct{ client client.Client }

func (c *kitexConn) Close() {
	if closer, ok := c.client.(interface{ Close() error }); ok {
		closer.Close()
	}
}

func (c *kitexConn) Caller() (Caller, error) { return kitexCaller{c.client}, nil }

type kitexCaller struct{ client client.Client }

func (c kitexCaller) Echo(body []byte) ([]byte, error) {
	var answer kitexBody
	err := c.client.Call(context.Background(), "Echo", &kitexBody{body}, &answer)
	return answer.body, err
}
