package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// wires are the transports that a client is tested over.
var wires = map[string]transport.Factory{
	"framed": transport.Framed, "plain": transport.Plain, "plain with MaxCmdSize": transport.PlainMaxCmdSize,
}

// both makes a server and a client that speak a wire.
func both(t testing.TB, wire transport.Factory, r receiver, conf client.Conf) *client.Client[receiver] {
	t.Helper()
	l := serve(t, r, serverConf{Transport: wire})
	conf.Transport = wire
	return dial(t, l, conf)
}

func TestEachCommandGetsItsOwnResult(t *testing.T) {
	for name, wire := range wires {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := both(t, wire, echo, client.Conf{})
				var wg sync.WaitGroup
				for g := range 100 {
					wg.Go(func() {
						for n := range 100 {
							mustDo(t, c, 100*g+n)
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

// Do, Results and Send at once, of one client.
func TestAllWaysOfSendingTogether(t *testing.T) {
	for name, wire := range wires {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := both(t, wire, count, client.Conf{})
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						for range 20 {
							if r, err := c.Do(context.Background(), command{N: 1}); err != nil || r.(result).N != 1 {
								t.Errorf("Do: got %v, %v", r, err)
							}
						}
					})
					wg.Go(func() { checkCount(t, c, 50) })
					wg.Go(func() {
						results := make(chan base.AsyncResult, 3)
						if _, err := c.Send(command{N: 50}, results); err != nil {
							t.Error(err)
							return
						}
						for n := range 50 {
							if r := <-results; r.Err != nil || r.Result.(result).N != n+1 {
								t.Errorf("Send: got %v, %v, want %d", r.Result, r.Err, n+1)
							}
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

// checkCount checks the results of a command to count.
func checkCount(t testing.TB, c *client.Client[receiver], to int) {
	t.Helper()
	next := 1
	for r, err := range c.Results(context.Background(), command{N: to}) {
		if err != nil {
			t.Errorf("Results: %v", err)
			return
		}
		if r.(result).N != next {
			t.Errorf("got the result %d, want %d", r.(result).N, next)
		}
		next++
	}
	if next != to+1 {
		t.Errorf("got %d results, want %d", next-1, to)
	}
}

func TestSeqsCountFrom1(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seqs []base.Seq
		c := both(t, nil, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			seqs = append(seqs, seq)
			return echo(ctx, cmd, seq, proxy)
		}, client.Conf{})
		mustDo(t, c, 5)
		c.Do(t.Context(), nil) // uses no number
		results := make(chan base.AsyncResult, 1)
		seq, err := c.Send(command{}, results)
		if r := <-results; seq != 2 || err != nil || r.Seq != 2 {
			t.Errorf("got %v, %v and a result of %v, want 2", seq, err, r.Seq)
		}
		mustDo(t, c, 5)
		if fmt.Sprint(seqs) != "[1 2 3]" {
			t.Errorf("the server saw %v", seqs)
		}
	})
}

func TestAFailureIsToldWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, nil, func(_ context.Context, cmd command, _ base.Seq, _ base.Proxy) error {
			switch cmd.N {
			case 0:
				return errors.New("no more paper")
			case 1:
				return &base.Error{Outcome: base.Rejected, Code: "paper", Message: "try later", RetryAfter: time.Minute}
			case 2:
				panic("on fire")
			}
			return nil
		}, client.Conf{})
		_, err := c.Do(t.Context(), command{N: 0})
		want(t, err, base.Failed, base.ErrExec)
		if err.Error() != "no more paper" {
			t.Errorf("got the text %q", err)
		}
		var e *base.Error
		if errors.As(err, &e) && (!e.Remote || e.Seq != 1 || e.Cmd != "client_test.command") {
			t.Errorf("got %+v", e)
		}
		_, err = c.Do(t.Context(), command{N: 1})
		want(t, err, base.Failed, base.Code("paper"))
		if errors.As(err, &e) && e.RetryAfter != time.Minute {
			t.Errorf("got %+v", e)
		}
		_, err = c.Do(t.Context(), command{N: 2})
		want(t, err, base.Failed, base.ErrPanic)
		_, err = c.Do(t.Context(), command{N: 3})
		want(t, err, base.Failed, base.ErrNoResult)
	})
}

// other is a command that the codec does not know.
type other struct{}

func (other) Exec(context.Context, time.Time, base.Seq, receiver, base.Proxy) error { return nil }

// Each of these fails before anything is sent, and hurts nothing.
func TestCommandsThatCantBeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, p := newPipe(t)
		go p.hello(wireHello(100))
		own := errors.New("codec's own")
		c := over(t, conn, codec{
			encode: func(cmd command) error {
				switch cmd.N {
				case 1:
					panic("encode")
				case 2:
					return own
				case 3:
					return fmt.Errorf("mine: %w", &base.Error{Outcome: base.Failed, Code: "mine"})
				}
				return nil
			},
			size: func(cmd command) int {
				switch cmd.N {
				case 4:
					panic("size")
				case 5:
					return 101
				}
				return 0
			},
		}, client.Conf{})
		ctx := t.Context()
		results := make(chan base.AsyncResult, 1)
		for _, test := range []struct {
			name string
			cmd  base.Cmd[receiver]
			is   error
		}{
			{"nil", nil, base.ErrNilCmd},
			{"unknown", other{}, base.ErrUnknownCmd},
			{"Encode panics", command{N: 1}, base.ErrPanic},
			{"Encode fails", command{N: 2}, base.ErrEncode},
			{"Encode fails, in its own words", command{N: 2}, own},
			{"Encode fails with an Error", command{N: 3}, base.Code("mine")},
			{"Size panics", command{N: 4}, base.ErrPanic},
			{"too large by Size", command{N: 5}, client.ErrTooLargeCmd},
			{"too large by its encoding", command{Body: make([]byte, 99)}, client.ErrTooLargeCmd},
		} {
			t.Log(test.name)
			outcome := base.NotSent
			if test.is == client.ErrTooLargeCmd {
				outcome = base.Rejected // by the client, on the server's word
			}
			_, err := c.Do(ctx, test.cmd)
			want(t, err, outcome, test.is)
			seq, err := c.Send(test.cmd, results)
			want(t, err, outcome, test.is)
			if seq != 0 || len(results) > 0 {
				t.Errorf("got the seq %d, and %d results", seq, len(results))
			}
			n := 0
			for r, err := range c.Results(ctx, test.cmd) {
				n++
				want(t, err, outcome, test.is)
				if r != nil {
					t.Errorf("a result came with the error: %v", r)
				}
			}
			if n != 1 {
				t.Errorf("the loop ran %d times", n)
			}
		}
		_, err := c.Send(command{}, nil)
		want(t, err, base.NotSent, base.ErrNilResults)

		// The first thing that the server ever sees has the first number.
		done := start(ctx, c, command{Body: make([]byte, 98)})
		f := p.expect(kindCommand)
		if f.Extras.Seq > 1 || f.Slot != 0 {
			t.Errorf("got %+v", f.Header)
		}
		p.answer(f.Slot, 7)
		if o := <-done; o.n != 7 || o.err != nil {
			t.Errorf("got %+v", o)
		}
	})
}

func TestResultsThatCantBeDecoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, echo, serverConf{})
		conn, _ := l.Dial(t.Context())
		c := over(t, conn, codec{decode: func(r result) error {
			switch r.N {
			case 1:
				panic("decode")
			case 2:
				return io.ErrUnexpectedEOF
			case 3:
				return &base.Error{Outcome: base.NotSent, Code: "mine", Message: "as I said"}
			}
			return nil
		}}, client.Conf{})
		for n, is := range map[int]error{1: base.ErrPanic, 2: io.ErrUnexpectedEOF, 3: base.Code("mine")} {
			_, err := c.Do(t.Context(), command{N: n})
			want(t, err, base.Failed, is)
			results := make(chan base.AsyncResult, 2)
			if _, err := c.Send(command{N: n}, results); err != nil {
				t.Error(err)
			}
			want(t, (<-results).Err, base.Failed, is)
			for _, err := range c.Results(t.Context(), command{N: n}) {
				want(t, err, base.Failed, is)
			}
		}
		mustDo(t, c, 4)
	})
}

// nilCodec decodes to nothing.
type nilCodec struct{ codec }

func (nilCodec) Decode(transport.Reader) (base.Result, error) { return nil, nil }

func TestANilResultIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, echo, serverConf{})
		conn, _ := l.Dial(t.Context())
		c, err := client.New(t.Context(), nilCodec{}, conn, client.Conf{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Do(t.Context(), command{})
		want(t, err, base.Failed, base.ErrDecode)
	})
}

// forCodec wants to know whose result it decodes.
type forCodec struct{ codec }

func (c forCodec) DecodeFor(cmd base.Cmd[receiver], r transport.Reader) (base.Result, error) {
	v, err := c.Decode(r)
	if err != nil {
		return nil, err
	}
	return result{N: 1000*cmd.(command).N + v.(result).N, Last: v.LastOne()}, nil
}

func TestDecodeForGetsTheCommand(t *testing.T) {
	for name, wire := range wires {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serve(t, echo, serverConf{Transport: wire})
				conn, _ := l.Dial(t.Context())
				c, err := client.New(t.Context(), forCodec{}, conn, client.Conf{Transport: wire})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				r, err := c.Do(t.Context(), command{N: 7})
				if err != nil || r.(result).N != 7007 {
					t.Errorf("got %v, %v", r, err)
				}
			})
		})
	}
}

// The error of a Do of a command that sends several results comes at the first,
// and the server is told to stop.
func TestDoOfSeveralResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stopped := make(chan error, 1)
		c := both(t, nil, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			if cmd.N == 0 {
				return echo(ctx, cmd, seq, proxy)
			}
			proxy.Send(seq, result{})
			<-ctx.Done()
			stopped <- ctx.Err()
			return nil
		}, client.Conf{})
		_, err := c.Do(t.Context(), command{N: 1})
		want(t, err, base.Unknown, base.ErrSeveralResults)
		if err := <-stopped; err != context.Canceled {
			t.Errorf("the ctx of the command: %v", err)
		}
		mustDo(t, c, 0)
	})
}

// A command of Do has credit for one result. One that sends several ends there: no
// more comes, and it is canceled.
func TestDoOfSeveralResultsTakesOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c, p := newPeer(t, client.Conf{UnexpectedResultCallback: told.callback})
		done := start(t.Context(), c, command{})
		f := p.expect(kindCommand)
		p.item(f.Slot, 1)
		want(t, (<-done).err, base.Unknown, base.ErrSeveralResults)
		p.expect(kindCancel)
		p.fail(f.Slot, wireFailure(base.Unknown, base.ErrCanceled))
		synctest.Wait()
		if got := told.numbers(); len(got) > 0 {
			t.Errorf("the callback heard of %v", got)
		}
	})
}

func TestHasTellsOpenCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		results := make(chan base.AsyncResult) // takes nothing by itself
		seq, err := c.Send(command{}, results)
		if err != nil || !c.Has(seq) || c.Has(seq+1) || c.Has(0) || c.Has(-1) {
			t.Errorf("got %v, Has %v %v %v %v", err, c.Has(seq), c.Has(seq+1), c.Has(0), c.Has(-1))
		}
		f := p.expect(kindCommand)
		p.item(f.Slot, 1)
		<-results
		synctest.Wait() // for the credit
		if !c.Has(seq) {
			t.Error("it is not open after its first result")
		}
		p.answer(f.Slot, 2)
		<-results
		if c.Has(seq) {
			t.Error("it is open after its last result")
		}
		done := start(t.Context(), c, command{})
		f = p.expect(kindCommand)
		if !c.Has(seq + 1) {
			t.Error("a command of Do is not open")
		}
		p.answer(f.Slot, 3)
		<-done
		if c.Has(seq + 1) {
			t.Error("a command of Do is open after its result")
		}
	})
}

// Whoever has taken a command's last result never finds it open.
func TestHasAfterTheLastResult(t *testing.T) {
	c := dial(t, serve(t, echo, serverConf{}), client.Conf{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			results := make(chan base.AsyncResult)
			for range 1000 {
				seq, err := c.Send(command{}, results)
				if err != nil {
					t.Error(err)
					return
				}
				<-results
				if c.Has(seq) {
					t.Errorf("command %d is open", seq)
				}
			}
		})
	}
	wg.Wait()
}

func TestUseAfterTheConnectionIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		select {
		case <-c.Done():
			t.Error("Done at the beginning")
		default:
		}
		if c.Err() != nil {
			t.Errorf("Err is %v at the beginning", c.Err())
		}
		p.nc.Close()
		<-c.Done()
		want(t, c.Err(), base.Unknown, base.ErrConnLost, io.ErrUnexpectedEOF)
		_, err := c.Do(t.Context(), command{})
		want(t, err, base.NotSent, base.ErrConnLost, io.ErrUnexpectedEOF)
		_, err = c.Send(command{}, make(chan base.AsyncResult))
		want(t, err, base.NotSent, base.ErrConnLost)
		c.Close()
		want(t, c.Err(), base.Unknown, base.ErrConnLost)
	})
}

func TestNewDef(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		l := serve(t, count, serverConf{})
		conn, _ := l.Dial(t.Context())
		c, err := client.NewDef(codec{}, conn, told.callback)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		seq, _ := c.Send(command{N: 3}, make(chan base.AsyncResult))
		c.Forget(seq)
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[1 2 3]" {
			t.Errorf("the callback heard of %v", got)
		}
	})
}

// newConn is a connection to a server that echoes.
func newConn(t testing.TB) *memnet.Conn {
	conn, err := serve(t, echo, serverConf{}).Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*memnet.Conn)
}

// A command has nothing of the one before on its slot.
func TestNothingIsLeftOfTheCommandBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conf := client.Conf{Compressions: []transport.Compression{flate.New(flate.DefaultLevel)}}
		conn, p := newPipe(t)
		go p.hello(wire.ServerHello{Compression: conf.Compressions[0].ID()})
		c := over(t, conn, codec{}, conf)
		ctx, cancel := context.WithTimeout(base.WithMetadata(t.Context(), base.Metadata{"tenant": {"ann"}}), time.Minute)
		defer cancel()
		first := start(ctx, c, command{Body: make([]byte, 4000)})
		f := p.expect(kindCommand)
		if f.Extras.Metadata == nil || f.Extras.Timeout == 0 || f.Flags&wire.FlagCompressed == 0 {
			t.Errorf("the first command has flags %v and %+v", f.Flags, f.Extras)
		}
		p.answer(f.Slot, 1)
		<-first
		second := start(t.Context(), c, command{N: 2})
		f = p.expect(kindCommand)
		if f.Flags != 0 {
			t.Errorf("the second command has flags %v and %+v", f.Flags, f.Extras)
		}
		p.answer(f.Slot, 2)
		<-second
	})
}
