package codec_test

import (
	"bytes"
	"context"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// calc is the receiver of the commands below.
type calc struct{ offset int }

type add struct{ A, B int }

func (c add) Run(_ context.Context, calc calc) (int, error) { return c.A + c.B + calc.offset, nil }

// sub shares its result type with add.
type sub struct{ A, B int }

func (c sub) Run(context.Context, calc) (int, error) { return c.A - c.B, nil }

type point struct {
	X, Y int
	Tags map[string][]string
}

type move struct{ From point }

func (c move) Run(context.Context, calc) (point, error) { c.From.X++; return c.From, nil }

// find has a pointer as its result, nil where there is nothing.
type find struct{ Name string }

func (c find) Run(context.Context, calc) (*point, error) {
	if c.Name == "" {
		return nil, nil
	}
	return &point{X: len(c.Name)}, nil
}

type split struct{ Text string }

func (c split) Run(context.Context, calc) ([]string, error) { return strings.Fields(c.Text), nil }

type tally []string

func (c tally) Run(context.Context, calc) (map[string]int, error) {
	result := map[string]int{}
	for _, word := range c {
		result[word]++
	}
	return result, nil
}

// byPointer has its method on the pointer, so *byPointer is the command.
type byPointer struct{ Text string }

func (c *byPointer) Run(context.Context, calc) (string, error) { return c.Text, nil }

type count struct{ To int }

func (c count) Stream(_ context.Context, _ calc, send func(int) error) error {
	for i := range c.To {
		if err := send(i + 1); err != nil {
			return err
		}
	}
	return nil
}

// both can be asked in either way.
type both struct{ N int }

func (c both) Run(context.Context, calc) (float64, error) { return float64(c.N), nil }

func (c both) Stream(_ context.Context, _ calc, send func(float64) error) error {
	return send(float64(c.N))
}

// newSet is what most tests use. The tags leave a gap.
func newSet(format codec.Format) *codec.Set[calc] {
	set := codec.NewSet[calc](format)
	codec.Unary[add](set, 1)
	codec.Unary[sub](set, 2)
	codec.Unary[move](set, 3)
	codec.Unary[find](set, 4)
	codec.Unary[split](set, 5)
	codec.Unary[tally](set, 6)
	codec.Unary[*byPointer](set, 7)
	codec.Stream[count](set, 300)
	codec.Unary[both](set, 9)
	codec.Stream[both](set, 10)
	return set
}

func jsonSet() *codec.Set[calc] { return newSet(json.Format{}) }

// The adapters, as the typed calls of package cmdstream make them.
func unary[C base.Runner[calc, R], R any](c C) base.Cmd[calc] {
	return base.Unary[calc, R, C]{Cmd: c}
}

func stream[C base.Streamer[calc, R], R any](c C) base.Cmd[calc] {
	return base.Stream[calc, R, C]{Cmd: c}
}

// encodingProxy is a server's proxy that encodes into a buffer.
type encodingProxy struct {
	codec *codec.ServerCodec[calc]
	out   bytes.Buffer
}

func (p *encodingProxy) Send(_ base.Seq, result base.Result) error {
	return p.codec.Encode(result, &p.out)
}
func (p *encodingProxy) LocalAddr() net.Addr  { return nil }
func (p *encodingProxy) RemoteAddr() net.Addr { return nil }

// roundTrip sends cmd from a client's set to a server's, runs it there, and
// brings its results back.
func roundTrip(t *testing.T, client, server *codec.Set[calc], cmd base.Cmd[calc]) []base.Result {
	t.Helper()
	const behind = "what comes next"
	var wire bytes.Buffer
	clientCodec := client.Client()
	if err := clientCodec.Encode(cmd, &wire); err != nil {
		t.Fatalf("client's Encode: %v", err)
	}
	wire.WriteString(behind)
	proxy := &encodingProxy{codec: server.Server()}
	received, err := proxy.codec.Decode(&wire)
	if err != nil {
		t.Fatalf("server's Decode: %v", err)
	}
	if got := wire.String(); got != behind {
		t.Fatalf("server's Decode left %q, want %q", got, behind)
	}
	if !reflect.DeepEqual(received, cmd) {
		t.Fatalf("the server got %#v, want %#v", received, cmd)
	}
	if err := received.Exec(t.Context(), time.Now(), 1, calc{}, proxy); err != nil {
		t.Fatalf("Exec: %v", err)
	}
	proxy.out.WriteString(behind)
	var results []base.Result
	for last := false; !last; {
		result, err := clientCodec.DecodeFor(cmd, &proxy.out)
		if err != nil {
			t.Fatalf("DecodeFor: %v", err)
		}
		results = append(results, result)
		last = result.LastOne()
	}
	if got := proxy.out.String(); got != behind {
		t.Fatalf("DecodeFor left %q, want %q", got, behind)
	}
	return results
}
