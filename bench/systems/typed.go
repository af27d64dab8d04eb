package systems

import (
	"context"
	stdjson "encoding/json"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// typedForm is this library in its typed form, over JSON.
type typedForm struct{}

func (typedForm) Info() Info {
	return Info{Name: "cmdstream-json", Kind: Ours, Module: "github.com/cmdstream/cmdstream", NoLarge: true}
}

// Echo is the typed command.
type Echo struct{ Body []byte }

// Run answers with the body.
func (e Echo) Run(_ context.Context, s service) ([]byte, error) {
	s.job.Do()
	return e.Body, nil
}

// Results is the typed command with many results.
type Results struct{ Count int }

// Stream sends the results.
func (r Results) Stream(_ context.Context, _ service, send func([]byte) error) error {
	for i := range r.Count {
		result := make([]byte, ResultSize)
		FillResult(result, i)
		if err := send(result); err != nil {
			return err
		}
	}
	return nil
}

func newSet() *codec.Set[service] {
	set := codec.NewSet[service](json.Format{})
	codec.Unary[Echo](set, 1)
	codec.Stream[Results](set, 2)
	return set
}

func (typedForm) Serve(conf Conf) (*Server, error) {
	return serveCmdstream(newSet().Server(), service{job: conf.Job}, conf)
}

func (typedForm) Dial(ctx context.Context, addr string, conf Conf) (Conn, error) {
	c, err := dialCmdstream(ctx, newSet().Client(), addr, conf, false)
	if err != nil {
		return nil, err
	}
	return &jsonConn{c}, nil
}

type jsonConn struct{ client *client.Client[service] }

func (c *jsonConn) Close() { c.client.Close() }

func (c *jsonConn) Caller() (Caller, error) { return jsonCaller{c.client}, nil }

type jsonCaller struct{ client *client.Client[service] }

func (c jsonCaller) Echo(body []byte) ([]byte, error) {
	return cmdstream.Do(context.Background(), c.client, Echo{body})
}

func (c *jsonConn) Stream(results int, take func([]byte) error) error {
	for result, err := range cmdstream.Results(context.Background(), c.client, Results{results}) {
		if err != nil {
			return err
		}
		if err := take(result); err != nil {
			return err
		}
	}
	return nil
}

// Marshal does what JSON alone costs of a typed echo: command and result are
// marshalled and unmarshalled once each. It returns the body as it comes out.
func Marshal(body []byte) ([]byte, error) {
	data, err := stdjson.Marshal(Echo{body})
	if err != nil {
		return nil, err
	}
	var cmd Echo
	if err := stdjson.Unmarshal(data, &cmd); err != nil {
		return nil, err
	}
	if data, err = stdjson.Marshal(cmd.Body); err != nil {
		return nil, err
	}
	var result []byte
	err = stdjson.Unmarshal(data, &result)
	return result, err
}
