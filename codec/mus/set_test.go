package mus_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/mus-format/mus-stream-go/ord"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/mus"
)

var (
	_ codec.Format    = mus.Format{}
	_ codec.Checker   = mus.Format{}
	_ codec.Describer = mus.Format{}
)

// repeat is a command whose result is so many letters.
type repeat int

func (n repeat) Run(context.Context, calc) (string, error) { return strings.Repeat("x", int(n)), nil }

// half is a command by pointer, whose result may be a nil pointer.
type half add

func (c *half) Run(context.Context, calc) (*add, error) {
	if c.A%2 != 0 {
		return nil, nil
	}
	return &add{c.A / 2, c.B / 2}, nil
}

// total is sent numbers.
type total add

func (total) Exchange(_ context.Context, _ calc, inputs iter.Seq2[int, error], send func(int) error) error {
	sum := 0
	for n, err := range inputs {
		if err != nil {
			return err
		}
		sum += n
		if err := send(sum); err != nil {
			return err
		}
	}
	return nil
}

// as makes a serializer of add one of a type that is defined by it.
type as[T any] struct {
	addSer
	to   func(T) add
	from func(add) T
}

func (s as[T]) Marshal(v T, w mus.Writer) (int, error) { return s.addSer.Marshal(s.to(v), w) }
func (s as[T]) Size(v T) int                           { return s.addSer.Size(s.to(v)) }
func (s as[T]) Unmarshal(r mus.Reader) (T, int, error) {
	v, n, err := s.addSer.Unmarshal(r)
	return s.from(v), n, err
}

var (
	halfSer   = ord.NewPtrSer[half](as[half]{to: func(h half) add { return add(h) }, from: func(a add) half { return half(a) }})
	totalSer  = as[total]{to: func(t total) add { return add(t) }, from: func(a add) total { return total(a) }}
	repeatSer = as[repeat]{to: func(n repeat) add { return add{A: int(n)} }, from: func(a add) repeat { return repeat(a.A) }}
)

// Through a client and a server.
func TestASet(t *testing.T) {
	set := codec.NewSet[calc](mus.NewFormat(
		mus.For[add](addSer{}), mus.For[*add](pointerSer), mus.For[*half](halfSer), mus.For[total](totalSer), mus.For[repeat](repeatSer),
	))
	set.Limit(100)
	codec.Unary[add](set, 1)
	codec.Unary[*half](set, 2)
	codec.Exchange[total](set, 3)
	codec.Unary[repeat](set, 4)
	c := cmdstreamtest.New(t, set.Client(), set.Server(), calc{})

	if got, err := cmdstream.Do(t.Context(), c, add{2, 3}); got != 5 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := cmdstream.Do(t.Context(), c, &half{4, 6}); err != nil || *got != (add{2, 3}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := cmdstream.Do(t.Context(), c, &half{1, 1}); got != nil || err != nil {
		t.Errorf("a nil result: got %v, %v", got, err)
	}
	if _, err := cmdstream.Do(t.Context(), c, (*half)(nil)); !errors.Is(err, base.ErrNilCmd) {
		t.Errorf("a nil command: %v", err)
	}
	if _, err := cmdstream.Do(t.Context(), c, repeat(100)); !errors.Is(err, base.ErrTooLargeResult) || base.OutcomeOf(err) != base.Failed {
		t.Errorf("a large result: %v", err)
	}
	x, err := cmdstream.Open(t.Context(), c, total{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for n, want := range []int{0, 1, 3} {
		if err := x.Send(n); err != nil {
			t.Fatal(err)
		}
		if got, err := x.Receive(); got != want || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	}
}
