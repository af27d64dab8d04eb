package systems

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
)

// grpcSystem is gRPC-Go with a service described by hand and a codec that moves bytes:
// what protobuf would cost is not counted against it.
type grpcSystem struct{}

func (grpcSystem) Info() Info {
	return Info{Name: "grpc", Kind: Peer, Module: "google.golang.org/grpc"}
}

// grpcCodec hands a body over as it is, without a copy; what comes is copied out of
// gRPC's buffers, into memory that is used again.
type grpcCodec struct{}

func (grpcCodec) Name() string { return "bytes" }

func (grpcCodec) Marshal(v any) (mem.BufferSlice, error) {
	p, err := bytesOf(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(p.body)}, nil
}

func (grpcCodec) Unmarshal(data mem.BufferSlice, v any) error {
	p, err := bytesOf(v)
	if err != nil {
		return err
	}
	p.body = sized(p.body, data.Len())
	data.CopyTo(p.body)
	return nil
}

// grpcServer is what generated code would call.
type grpcServer interface {
	echo(request *payload) *payload
}

type grpcService struct{ job Job }

func (s grpcService) echo(request *payload) *payload {
	s.job.Do()
	return request
}

var grpcDescription = grpc.ServiceDesc{
	ServiceName: "Bench",
	HandlerType: (*grpcServer)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(s any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			request := new(payload)
			if err := decode(request); err != nil {
				return nil, err
			}
			return s.(grpcServer).echo(request), nil
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName:    "Results",
		ServerStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			var request payload
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			for i := range count(request.body) {
				// A message must not change after SendMsg: each has memory of its own.
				result := &payload{body: make([]byte, ResultSize)}
				FillResult(result.body, i)
				if err := stream.SendMsg(result); err != nil {
					return err
				}
			}
			return nil
		},
	}},
}

func (grpcSystem) Serve(conf Conf) (*Server, error) {
	listener, err := listen(Conf{})
	if err != nil {
		return nil, err
	}
	options := []grpc.ServerOption{grpc.ForceServerCodecV2(grpcCodec{})}
	tlsConf, _, err := conf.tls()
	if err != nil {
		return nil, err
	}
	if tlsConf != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(tlsConf)))
	}
	if conf.MaxBody > 0 {
		options = append(options, grpc.MaxRecvMsgSize(conf.MaxBody), grpc.MaxSendMsgSize(conf.MaxBody))
	}
	s := grpc.NewServer(options...)
	s.RegisterService(&grpcDescription, grpcService{conf.Job})
	go s.Serve(listener)
	return &Server{Addr: listener.Addr().String(), close: s.Stop}, nil
}

func (grpcSystem) Dial(ctx context.Context, addr string, conf Conf) (Conn, error) {
	_, tlsConf, err := conf.tls()
	if err != nil {
		return nil, err
	}
	secure := insecure.NewCredentials()
	if tlsConf != nil {
		secure = credentials.NewTLS(tlsConf)
	}
	calls := []grpc.CallOption{grpc.ForceCodecV2(grpcCodec{})}
	if conf.MaxBody > 0 {
		calls = append(calls, grpc.MaxCallRecvMsgSize(conf.MaxBody), grpc.MaxCallSendMsgSize(conf.MaxBody))
	}
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(secure), grpc.WithDefaultCallOptions(calls...))
	if err != nil {
		return nil, err
	}
	c.Connect()
	return &grpcConn{client: c, conf: conf}, nil
}

type grpcConn struct {
	client *grpc.ClientConn
	conf   Conf
}

func (c *grpcConn) Close() { c.client.Close() }

func (c *grpcConn) Caller() (Caller, error) { return &grpcCaller{conn: c}, nil }

type grpcCaller struct {
	conn            *grpcConn
	request, answer payload
}

func (c *grpcCaller) Echo(body []byte) ([]byte, error) {
	ctx, cancel := c.conn.conf.context()
	defer cancel()
	c.request.body = body
	err := c.conn.client.Invoke(ctx, "/Bench/Echo", &c.request, &c.answer)
	return c.answer.body, err
}

func (c *grpcConn) Stream(results int, take func([]byte) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := c.client.NewStream(ctx, &grpcDescription.Streams[0], "/Bench/Results")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&payload{body: countBody(results)}); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var result payload
	for range results {
		if err := stream.RecvMsg(&result); err != nil {
			return err
		}
		if err := take(result.body); err != nil {
			return err
		}
	}
	return nil
}
