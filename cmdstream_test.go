package cmdstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
)

// fakeClient answers without a network: by running the command against the
// receiver, or by what it is told to answer.
type fakeClient[T any] struct {
	receiver T
	answers  []base.Result // instead of running the command, where not nil
	err      error         // after the results

	ctx  context.Context // of the last call
	left bool            // the last Results was left before its end
}

func (c *fakeClient[T]) run(ctx context.Context, cmd base.Cmd[T]) ([]base.Result, error) {
	c.ctx = ctx
	if c.answers != nil || c.err != nil {
		return c.answers, c.err
	}
	var proxy collectingProxy
	err := cmd.Exec(ctx, time.Time{}, 1, c.receiver, &proxy)
	return proxy.results, err
}

func (c *fakeClient[T]) Do(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
	results, err := c.run(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return results[0], nil
}

func (c *fakeClient[T]) Results(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
	return func(yield func(base.Result, error) bool) {
		results, err := c.run(ctx, cmd)
		c.left = true
		for _, result := range results {
			if !yield(result, nil) {
				return
			}
		}
		if err != nil && !yield(nil, err) {
			return
		}
		c.left = false
	}
}

type collectingProxy struct{ results []base.Result }

func (p *collectingProxy) Send(_ base.Seq, result base.Result) error {
	p.results = append(p.results, result)
	return nil
}
func (p *collectingProxy) LocalAddr() net.Addr  { return nil }
func (p *collectingProxy) RemoteAddr() net.Addr { return nil }

// Calc is the receiver.
type Calc struct{}

// Divide is a typed command.
type Divide struct{ A, B int }

// Run divides.
func (c Divide) Run(context.Context, Calc) (int, error) {
	if c.B == 0 {
		return 1, errors.New("division by zero")
	}
	return c.A / c.B, nil
}

// Count is a typed command with many results.
type Count struct{ To int }

// Stream counts.
func (c Count) Stream(_ context.Context, _ Calc, send func(int) error) error {
	for n := range c.To {
		if err := send(n + 1); err != nil {
			return err
		}
	}
	return nil
}

func TestDo(t *testing.T) {
	ctx := t.Context()
	c := &fakeClient[Calc]{}
	got, err := cmdstream.Do(ctx, c, Divide{7, 2})
	if got != 3 || err != nil {
		t.Errorf("got %v, %v, want 3", got, err)
	}
	if c.ctx != ctx {
		t.Error("the ctx was not passed on")
	}
	got, err = cmdstream.Do(ctx, c, Divide{7, 0})
	if got != 0 || err == nil || err.Error() != "division by zero" {
		t.Errorf("got %v, %v, want 0 and the command's error", got, err)
	}
}

func TestDoOfAnotherResult(t *testing.T) {
	for _, answer := range []base.Result{base.Value[string]{V: "3"}, base.Item[int]{V: 3}, base.End{}, nil} {
		got, err := cmdstream.Do(t.Context(), &fakeClient[Calc]{answers: []base.Result{answer}}, Divide{7, 2})
		if got != 0 || base.OutcomeOf(err) != base.Failed || !errors.Is(err, base.ErrDecode) {
			t.Errorf("%T: got %v, %v", answer, got, err)
		}
	}
	_, err := cmdstream.Do(t.Context(), &fakeClient[Calc]{answers: []base.Result{base.End{}}}, Divide{7, 2})
	const want = "cmdstream: command cmdstream_test.Divide: the result is a base.End where base.Value[int] was expected: " +
		"do client and server agree on the command's tag? (outcome: failed)"
	if err.Error() != want {
		t.Errorf("got\n%v, want\n%s", err, want)
	}
}

// collect is a whole loop over results.
func collect(results iter.Seq2[int, error]) (values []int, errs []error) {
	for n, err := range results {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if errs != nil {
			errs = append(errs, errors.New("a result after the error"))
		}
		values = append(values, n)
	}
	return values, errs
}

func TestResults(t *testing.T) {
	ctx := t.Context()
	for to, want := range [][]int{nil, {1}, {1, 2}, {1, 2, 3}} {
		c := &fakeClient[Calc]{}
		results := cmdstream.Results(ctx, c, Count{to})
		if c.ctx != nil {
			t.Error("the command was sent before the loop began")
		}
		values, errs := collect(results)
		if !reflect.DeepEqual(values, want) || errs != nil {
			t.Errorf("got %v, %v, want %v", values, errs, want)
		}
		if c.ctx != ctx {
			t.Error("the ctx was not passed on")
		}
	}
}

func TestResultsEndInAnError(t *testing.T) {
	c := &fakeClient[Calc]{answers: []base.Result{base.Item[int]{V: 1}, base.Item[int]{V: 2}}, err: io.ErrUnexpectedEOF}
	values, errs := collect(cmdstream.Results(t.Context(), c, Count{}))
	if !reflect.DeepEqual(values, []int{1, 2}) || len(errs) != 1 || errs[0] != io.ErrUnexpectedEOF {
		t.Errorf("got %v, %v", values, errs)
	}
	c = &fakeClient[Calc]{err: io.ErrUnexpectedEOF}
	for n, err := range cmdstream.Results(t.Context(), c, Count{}) {
		if n != 0 || err != io.ErrUnexpectedEOF {
			t.Errorf("got %v, %v", n, err)
		}
		break // the error ends it anyway, and may be broken at
	}
}

func TestResultsAreLeftEarly(t *testing.T) {
	c := &fakeClient[Calc]{}
	for n, err := range cmdstream.Results(t.Context(), c, Count{5}) {
		if err != nil {
			t.Fatal(err)
		}
		if n == 2 {
			break
		}
	}
	if !c.left {
		t.Error("the client's loop was not left, so the command would not be cancelled")
	}
}

func TestResultsOfAnotherType(t *testing.T) {
	for _, answer := range []base.Result{base.Item[string]{V: "2"}, base.Value[int]{V: 2}, nil} {
		c := &fakeClient[Calc]{answers: []base.Result{base.Item[int]{V: 1}, answer, base.Item[int]{V: 3}}}
		values, errs := collect(cmdstream.Results(t.Context(), c, Count{}))
		if !reflect.DeepEqual(values, []int{1}) || len(errs) != 1 {
			t.Fatalf("%T: got %v, %v", answer, values, errs)
		}
		if !errors.Is(errs[0], base.ErrDecode) || base.OutcomeOf(errs[0]) != base.Failed {
			t.Errorf("%T: got %v", answer, errs[0])
		}
		if !c.left {
			t.Error("the client's loop was not left")
		}
	}
}

func ExampleDo() {
	ctx := context.Background()
	c := &fakeClient[Calc]{} // as a rule, one from package client

	quotient, err := cmdstream.Do(ctx, c, Divide{84, 2}) // an int
	fmt.Println(quotient, err)

	_, err = cmdstream.Do(ctx, c, Divide{84, 0})
	fmt.Println(err)
	// Output:
	// 42 <nil>
	// division by zero
}

func ExampleResults() {
	ctx := context.Background()
	c := &fakeClient[Calc]{} // as a rule, one from package client

	for n, err := range cmdstream.Results(ctx, c, Count{3}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(n)
	}
	// Output:
	// 1
	// 2
	// 3
}
