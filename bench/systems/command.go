package systems

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// commandForm is this library in its command form, with a codec that moves bytes.
type commandForm struct {
	name    string
	session bool
}

func (s commandForm) Info() Info {
	return Info{Name: s.name, Kind: Ours, Module: "github.com/cmdstream/cmdstream"}
}

func (s commandForm) Serve(conf Conf) (*Server, error) {
	codec := bytesCodec{pool: newPool()}
	return serveCmdstream(serverCodec{codec}, service{job: conf.Job, stream: conf.Stream, pool: codec.pool}, conf)
}

func (s commandForm) Dial(ctx context.Context, addr string, conf Conf) (Conn, error) {
	codec := bytesCodec{pool: newPool()}
	c, err := dialCmdstream(ctx, clientCodec{codec}, addr, conf, s.session)
	if err != nil {
		return nil, err
	}
	return &cmdstreamConn{client: c, pool: codec.pool}, nil
}

// serveCmdstream serves with the library's defaults, but for the limits that conf
// says have to be higher.
func serveCmdstream(codec server.Codec[service], receiver service, conf Conf) (*Server, error) {
	listener, err := listen(Conf{})
	if err != nil {
		return nil, err
	}
	tlsConf, _, err := conf.tls()
	if err != nil {
		return nil, err
	}
	serverConf := server.Conf[service]{TLSConfig: tlsConf, WorkersCount: conf.MaxConns, MaxHellos: conf.MaxConns}
	serverConf.ServerSettings.MaxInFlight = conf.MaxCalls
	if conf.MaxBody > 0 {
		serverConf.ServerSettings.MaxCmdSize = conf.MaxBody
		serverConf.MaxConnBytes = 2 * conf.MaxBody
	}
	s, err := server.New(codec, receiver, serverConf)
	if err != nil {
		return nil, err
	}
	return serving(listener.Addr(), func() { s.Serve(listener) }, func() { s.Close() }), nil
}

func dialCmdstream(ctx context.Context, codec client.Codec[service], addr string, conf Conf, session bool) (*client.Client[service], error) {
	_, tlsConf, err := conf.tls()
	if err != nil {
		return nil, err
	}
	dialer := client.TCP(addr)
	if tlsConf != nil {
		dialer = client.TLS(addr, tlsConf)
	}
	return client.NewReconnect(ctx, codec, dialer, client.Conf{Timeout: conf.Timeout, MaxResultSize: conf.MaxBody, Session: session})
}

// service is the receiver.
type service struct {
	job    Job
	stream bool
	pool   *sync.Pool
}

// message is command and result in one.
type message struct {
	body []byte
	more bool // results follow this one
}

// Exec answers with the command itself, or with as many results as its body says.
func (m *message) Exec(_ context.Context, _ time.Time, seq base.Seq, s service, proxy base.Proxy) error {
	if s.stream {
		results := count(m.body)
		for i := range results {
			result := s.pool.Get().(*message)
			result.body = sized(result.body, ResultSize)
			FillResult(result.body, i)
			result.more = i < results-1
			if err := proxy.Send(seq, result); err != nil {
				return err
			}
		}
		return nil
	}
	s.job.Do()
	return proxy.Send(seq, m)
}

func (m *message) LastOne() bool { return !m.more }

func newPool() *sync.Pool { return &sync.Pool{New: func() any { return new(message) }} }

// bytesCodec writes bodies as they are: the end of the frame is the end of the body.
// What it decodes comes from a pool, to which whoever is done with it gives it back.
type bytesCodec struct{ pool *sync.Pool }

func (c bytesCodec) decode(r transport.Reader) (*message, error) {
	m := c.pool.Get().(*message)
	m.more = false
	var err error
	m.body, err = readAll(r, m.body[:0])
	return m, err
}

// readAll appends to body what is left in r.
func readAll(r io.Reader, body []byte) ([]byte, error) {
	if in, ok := r.(*transport.Body); ok {
		if cap(body) < in.Len() {
			body = make([]byte, in.Len()) // append would clear it in one step, which nothing can interrupt
		}
		body = body[:in.Len()]
		_, err := io.ReadFull(in, body)
		return body, err
	}
	return readRest(r, body)
}

func readRest(r io.Reader, body []byte) ([]byte, error) {
	var rest bytes.Buffer
	_, err := rest.ReadFrom(r)
	return append(body, rest.Bytes()...), err
}

type clientCodec struct{ bytesCodec }

func (c clientCodec) Encode(cmd base.Cmd[service], w transport.Writer) error {
	_, err := w.Write(cmd.(*message).body)
	return err
}
func (c clientCodec) Decode(r transport.Reader) (base.Result, error) { return c.decode(r) }
func (c clientCodec) Size(cmd base.Cmd[service]) int                 { return len(cmd.(*message).body) }

type serverCodec struct{ bytesCodec }

func (c serverCodec) Encode(result base.Result, w transport.Writer) error {
	m := result.(*message)
	defer c.pool.Put(m)
	_, err := w.Write(m.body)
	return err
}
func (c serverCodec) Decode(r transport.Reader) (base.Cmd[service], error) { return c.decode(r) }

type cmdstreamConn struct {
	client *client.Client[service]
	pool   *sync.Pool
}

func (c *cmdstreamConn) Close() { c.client.Close() }

func (c *cmdstreamConn) Caller() (Caller, error) { return &cmdstreamCaller{conn: c}, nil }

type cmdstreamCaller struct {
	conn   *cmdstreamConn
	cmd    message
	answer *message
}

func (c *cmdstreamCaller) Echo(body []byte) ([]byte, error) {
	if c.answer != nil {
		c.conn.pool.Put(c.answer)
		c.answer = nil
	}
	c.cmd.body = body
	result, err := c.conn.client.Do(context.Background(), &c.cmd)
	if err != nil {
		return nil, err
	}
	c.answer = result.(*message)
	return c.answer.body, nil
}

func (c *cmdstreamConn) Window(flow Flow, size int) error {
	results := make(chan base.AsyncResult, size)
	cmds := make([]message, size)
	var last *message // its body was in use until the next one is asked for
	return window(flow, size, func(place int) error {
		cmds[place].body = flow.Request(place)
		_, err := c.client.Send(&cmds[place], results)
		return err
	}, func() ([]byte, error) {
		if last != nil {
			c.pool.Put(last)
		}
		result := <-results
		if result.Err != nil {
			return nil, result.Err
		}
		last = result.Result.(*message)
		return last.body, nil
	})
}

func (c *cmdstreamConn) Stream(results int, take func([]byte) error) error {
	for result, err := range c.client.Results(context.Background(), &message{body: countBody(results)}) {
		if err != nil {
			return err
		}
		m, ok := result.(*message)
		if !ok {
			return fmt.Errorf("the result is a %T", result)
		}
		if err := take(m.body); err != nil {
			return err
		}
		c.pool.Put(m)
	}
	return nil
}
