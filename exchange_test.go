package cmdstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// Room is the receiver.
type Room struct{}

// Chat answers each word in capitals, until it hears "bye"; "cry" makes it fail.
type Chat struct{ Greeting string }

func (c Chat) Exchange(ctx context.Context, _ Room, words iter.Seq2[string, error], send func(string) error) error {
	if err := send(c.Greeting); err != nil {
		return err
	}
	for word, err := range words {
		switch {
		case err != nil:
			return err
		case word == "bye":
			return nil
		case word == "cry":
			return errors.New("it cries")
		}
		if err := send(strings.ToUpper(word)); err != nil {
			return err
		}
	}
	return send("all heard")
}

// Deaf takes no inputs, and waits for the end of its ctx.
type Deaf struct{}

func (Deaf) Exchange(ctx context.Context, _ Room, _ iter.Seq2[string, error], _ func(string) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// Tenant returns what the metadata says.
type Tenant struct{}

func (Tenant) Run(ctx context.Context, _ Room) (string, error) {
	id, named := base.CommandID(ctx)
	return fmt.Sprintf("%s %v %d", base.MetadataOf(ctx).Get("tenant"), named, id.Seq), nil
}

// Repeat answers with its text, repeated.
type Repeat struct {
	Text  string
	Times int
}

func (r Repeat) Run(context.Context, Room) (string, error) {
	return strings.Repeat(r.Text, r.Times), nil
}

func roomSet() *codec.Set[Room] {
	set := codec.NewSet[Room](json.Format{})
	codec.Exchange[Chat](set, 1)
	codec.Exchange[Deaf](set, 2)
	codec.Unary[Tenant](set, 3)
	codec.Unary[Repeat](set, 4)
	return set
}

// room runs a test in a bubble, with a client and a server in memory.
func room(t *testing.T, conf cmdstreamtest.Conf[Room], test func(t *testing.T, c *client.Client[Room])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		set := roomSet()
		test(t, cmdstreamtest.New(t, set.Client(), set.Server(), Room{}, conf))
	})
}

func open(t *testing.T, c *client.Client[Room]) *cmdstream.Exchange[string, string] {
	t.Helper()
	x, err := cmdstream.Open(t.Context(), c, Chat{"hello"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func wantReceived(t *testing.T, x *cmdstream.Exchange[string, string], want string) {
	t.Helper()
	if got, err := x.Receive(); got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestAConversation(t *testing.T) {
	room(t, cmdstreamtest.Conf[Room]{}, func(t *testing.T, c *client.Client[Room]) {
		x := open(t, c)
		wantReceived(t, x, "hello")
		for n := range 30 { // more than the window of inputs
			word := fmt.Sprint("word ", n)
			if err := x.Send(word); err != nil {
				t.Fatal(err)
			}
			wantReceived(t, x, strings.ToUpper(word))
		}
		if err := x.CloseSend(); err != nil {
			t.Error(err)
		}
		wantReceived(t, x, "all heard")
		for range 2 {
			if got, err := x.Receive(); got != "" || err != io.EOF {
				t.Errorf("after the end: %q, %v", got, err)
			}
		}
		if err := x.Send("more"); err != io.EOF {
			t.Errorf("an input after the end: %v", err)
		}
		if err := x.CloseSend(); err != io.EOF {
			t.Errorf("a second end: %v", err)
		}
	})
}

// The client may send all before it takes a result, up to the two windows.
func TestInputsThenResults(t *testing.T) {
	room(t, cmdstreamtest.Conf[Room]{}, func(t *testing.T, c *client.Client[Room]) {
		x := open(t, c)
		go func() {
			for n := range 200 {
				if err := x.Send(fmt.Sprint("n", n)); err != nil {
					t.Error(err)
				}
			}
			x.CloseSend()
		}()
		time.Sleep(time.Second)
		got := slices.Collect(values(t, x.Results()))
		if len(got) != 202 || got[0] != "hello" || got[200] != "N199" || got[201] != "all heard" {
			t.Errorf("got %d results: %.200v", len(got), got)
		}
	})
}

func values(t *testing.T, results iter.Seq2[string, error]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for v, err := range results {
			if err != nil {
				t.Error(err)
			}
			if !yield(v) {
				return
			}
		}
	}
}

func TestTheCommandEndsFirst(t *testing.T) {
	room(t, cmdstreamtest.Conf[Room]{}, func(t *testing.T, c *client.Client[Room]) {
		x := open(t, c)
		wantReceived(t, x, "hello")
		x.Send("cry")
		_, err := x.Receive()
		if base.OutcomeOf(err) != base.Failed || err.Error() != "it cries" {
			t.Errorf("got %v", err)
		}
		if err := x.Send("more"); err != io.EOF {
			t.Errorf("an input after the end: %v", err)
		}
		x = open(t, c)
		for v := range x.Results() {
			if v != "hello" {
				t.Errorf("got %q", v)
			}
			break // the command goes on
		}
		x.Send("bye")
		if _, err := x.Receive(); err != io.EOF {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnExchangeIsClosed(t *testing.T) {
	room(t, cmdstreamtest.Conf[Room]{}, func(t *testing.T, c *client.Client[Room]) {
		x, err := cmdstream.Open(t.Context(), c, Deaf{})
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error)
		go func() {
			var err error
			for err == nil {
				err = x.Send("anybody?")
			}
			sent <- err
		}()
		received := make(chan error)
		go func() {
			_, err := x.Receive()
			received <- err
		}()
		synctest.Wait()
		begin := time.Now()
		x.Close()
		if err := <-sent; err != io.EOF && !errors.Is(err, base.ErrCanceled) {
			t.Errorf("Send: %v", err)
		}
		if err := <-received; !errors.Is(err, base.ErrCanceled) || base.OutcomeOf(err) != base.Unknown {
			t.Errorf("Receive: %v", err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// The ctx, and Conf.Timeout, end it also when nobody receives.
func TestAnExchangeTimesOut(t *testing.T) {
	conf := cmdstreamtest.Conf[Room]{Client: client.Conf{Timeout: time.Second, MaxInFlight: 1}}
	room(t, conf, func(t *testing.T, c *client.Client[Room]) {
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			x, err := cmdstream.Open(ctx, c, Deaf{})
			if err != nil {
				t.Fatal(err) // the slot is free again
			}
			time.Sleep(2 * time.Second)
			if _, err := x.Receive(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			x.Close()
		}
		x, err := cmdstream.Open(ctx, c, Deaf{})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := x.Receive(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := cmdstream.Open(ctx, c, Deaf{}); base.OutcomeOf(err) != base.NotSent {
			t.Errorf("got %v", err)
		}
	})
}

func TestInputsNeedTheWire(t *testing.T) {
	conf := cmdstreamtest.Conf[Room]{Client: client.Conf{Transport: transport.Plain}, Server: server.Conf[Room]{Transport: transport.Plain}}
	room(t, conf, func(t *testing.T, c *client.Client[Room]) {
		_, err := cmdstream.Open(t.Context(), c, Chat{})
		if !errors.Is(err, base.ErrUnsupported) || base.OutcomeOf(err) != base.NotSent {
			t.Errorf("got %v", err)
		}
		_, err = cmdstream.Do(base.WithMetadata(t.Context(), base.Metadata{"tenant": {"ann"}}), c, Tenant{})
		if !errors.Is(err, base.ErrUnsupported) || base.OutcomeOf(err) != base.NotSent {
			t.Errorf("got %v", err)
		}
	})
}

func TestMetadataTravels(t *testing.T) {
	room(t, cmdstreamtest.Conf[Room]{}, func(t *testing.T, c *client.Client[Room]) {
		ctx := base.WithMetadata(t.Context(), base.Metadata{"tenant": {"ann", "bob"}, "other": {""}})
		for _, test := range []struct {
			ctx  context.Context
			want string
		}{{ctx, "ann false 0"}, {t.Context(), " false 0"}} {
			if got, err := cmdstream.Do(test.ctx, c, Tenant{}); got != test.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		}
		for _, m := range []base.Metadata{{"": {"x"}}, {strings.Repeat("k", 256): {"x"}}, {"k": {strings.Repeat("v", 9000)}}} {
			_, err := cmdstream.Do(base.WithMetadata(t.Context(), m), c, Tenant{})
			if !errors.Is(err, base.ErrEncode) || base.OutcomeOf(err) != base.NotSent {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestACommandHasAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := roomSet()
		n := cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), Room{}, cmdstreamtest.Conf[Room]{Client: client.Conf{Session: true}})
		for seq := range 3 {
			want := fmt.Sprintf(" true %d", seq+1)
			if got, err := cmdstream.Do(t.Context(), n.Client, Tenant{}); got != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			n.Cut()
		}
	})
}

func TestCompression(t *testing.T) {
	both := []transport.Compression{flate.New(1)}
	for name, conf := range map[string]cmdstreamtest.Conf[Room]{
		"both":            {Client: client.Conf{Compressions: both, MaxResultSize: 1 << 20}, Server: server.Conf[Room]{Compressions: both}},
		"the client only": {Client: client.Conf{Compressions: both, MaxResultSize: 1 << 20}},
		"the server only": {Client: client.Conf{MaxResultSize: 1 << 20}, Server: server.Conf[Room]{Compressions: both}},
	} {
		t.Run(name, func(t *testing.T) {
			room(t, conf, func(t *testing.T, c *client.Client[Room]) {
				for _, size := range []int{10, 2000, 300_000} {
					text := strings.Repeat("x", size)
					if got, err := cmdstream.Do(t.Context(), c, Repeat{text, 2}); got != text+text || err != nil {
						t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
					}
				}
				_, err := cmdstream.Do(t.Context(), c, Repeat{strings.Repeat("x", 600_000), 2})
				if !errors.Is(err, base.ErrTooLargeResult) || base.OutcomeOf(err) != base.Failed {
					t.Errorf("a result of 1,200,000 bytes: %v", err)
				}
				x := open(t, c)
				wantReceived(t, x, "hello")
				x.Send(strings.Repeat("word ", 1000))
				wantReceived(t, x, strings.Repeat("WORD ", 1000))
			})
		})
	}
}

func ExampleOpen() {
	set := codec.NewSet[Room](json.Format{})
	codec.Exchange[Chat](set, 1)
	s, l := server.NewDef(set.Server(), Room{}), memnet.Listen()
	go s.Serve(l)
	defer s.Close()
	c, err := client.NewReconnect(context.Background(), set.Client(), l.Dial, client.Conf{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	x, err := cmdstream.Open(context.Background(), c, Chat{"hello"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer x.Close()
	x.Send("how are you?")
	x.CloseSend()
	for answer, err := range x.Results() {
		fmt.Println(answer, err)
	}
	// Output:
	// hello <nil>
	// HOW ARE YOU? <nil>
	// all heard <nil>
}
