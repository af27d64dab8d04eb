package systems

import (
	"context"
	"net"
	"net/http"

	"connectrpc.com/connect"
)

// connectSystem is connect-go with its own protocol over HTTP/2, without TLS (h2c)
// unless the workload has it, and with a codec that moves bytes.
type connectSystem struct{}

func (connectSystem) Info() Info {
	return Info{Name: "connect", Kind: Peer, Module: "connectrpc.com/connect"}
}

// streams is how many calls HTTP/2 may carry at once on a connection: more than any
// workload has, so that there is only one.
const streams = 1 << 20

type connectCodec struct{}

func (connectCodec) Name() string { return "bytes" }

func (c connectCodec) Marshal(v any) ([]byte, error) { return c.MarshalAppend(nil, v) }

// MarshalAppend copies: connect puts the memory of what it marshalled into a pool.
func (connectCodec) MarshalAppend(buffer []byte, v any) ([]byte, error) {
	p, err := bytesOf(v)
	if err != nil {
		return nil, err
	}
	return append(buffer, p.body...), nil
}

func (connectCodec) Unmarshal(data []byte, v any) error {
	p, err := bytesOf(v)
	if err != nil {
		return err
	}
	p.keep(data)
	return nil
}

func protocols(secure bool) *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(secure)
	protocols.SetUnencryptedHTTP2(!secure)
	return protocols
}

func (connectSystem) Serve(conf Conf) (*Server, error) {
	tlsConf, _, err := conf.tls()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	options := connect.WithHandlerOptions(
		connect.WithCodec(connectCodec{}),
		connect.WithCompression("gzip", nil, nil), // else every small answer is compressed
	)
	mux := http.NewServeMux()
	mux.Handle("/Bench/Echo", connect.NewUnaryHandler("/Bench/Echo",
		func(_ context.Context, request *connect.Request[payload]) (*connect.Response[payload], error) {
			conf.Do()
			return connect.NewResponse(request.Msg), nil
		}, options))
	mux.Handle("/Bench/Results", connect.NewServerStreamHandler("/Bench/Results",
		func(_ context.Context, request *connect.Request[payload], stream *connect.ServerStream[payload]) error {
			result := payload{body: make([]byte, ResultSize)}
			for i := range count(request.Msg.body) {
				FillResult(result.body, i)
				if err := stream.Send(&result); err != nil {
					return err
				}
			}
			return nil
		}, options))
	s := &http.Server{
		Handler: mux, TLSConfig: tlsConf, Protocols: protocols(tlsConf != nil),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams},
	}
	return serving(listener.Addr(), func() {
		if tlsConf != nil {
			s.ServeTLS(listener, "", "")
			return
		}
		s.Serve(listener)
	}, func() { s.Close() }), nil
}

func (connectSystem) Dial(_ context.Context, addr string, conf Conf) (Conn, error) {
	_, tlsConf, err := conf.tls()
	if err != nil {
		return nil, err
	}
	url := "http://" + addr
	if tlsConf != nil {
		url = "https://" + addr
		tlsConf = tlsConf.Clone()
	}
	transport := &http.Transport{
		TLSClientConfig: tlsConf, Protocols: protocols(tlsConf != nil),
		HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true}, MaxConnsPerHost: 1,
	}
	client := &http.Client{Transport: transport}
	options := connect.WithClientOptions(connect.WithCodec(connectCodec{}), connect.WithAcceptCompression("gzip", nil, nil))
	return &connectConn{
		transport: transport, conf: conf,
		echo:    connect.NewClient[payload, payload](client, url+"/Bench/Echo", options),
		results: connect.NewClient[payload, payload](client, url+"/Bench/Results", options),
	}, nil
}

type connectConn struct {
	transport     *http.Transport
	conf          Conf
	echo, results *connect.Client[payload, payload]
}

func (c *connectConn) Close() { c.transport.CloseIdleConnections() }

func (c *connectConn) Caller() (Caller, error) { return connectCaller{c}, nil }

type connectCaller struct{ conn *connectConn }

func (c connectCaller) Echo(body []byte) ([]byte, error) {
	ctx, cancel := c.conn.conf.context()
	defer cancel()
	answer, err := c.conn.echo.CallUnary(ctx, connect.NewRequest(&payload{body: body}))
	if err != nil {
		return nil, err
	}
	return answer.Msg.body, nil
}

func (c *connectConn) Stream(results int, take func([]byte) error) error {
	stream, err := c.results.CallServerStream(context.Background(), connect.NewRequest(&payload{body: countBody(results)}))
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		if err := take(stream.Msg().body); err != nil {
			return err
		}
	}
	return stream.Err()
}
