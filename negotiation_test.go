package cmdstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	jsonformat "github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// The commands below are what two programs have, each at its time.

type Sum struct{ A, B int }

func (c Sum) Run(context.Context, nothing) (int, error) { return c.A + c.B, nil }

// newerSum is Sum with one more field.
type newerSum struct{ A, B, C int }

func (c newerSum) Run(context.Context, nothing) (int, error) { return c.A + c.B + c.C, nil }
func (newerSum) CommandName() string                         { return "v2.Sum" }

// textSum is Sum with another result.
type textSum struct{ A, B int }

func (c textSum) Run(context.Context, nothing) (string, error) { return "", nil }
func (*textSum) CommandName() string                           { return "Sum" }

// Difference looks like Sum on the wire.
type Difference struct{ A, B int }

func (c Difference) Run(context.Context, nothing) (int, error) { return c.A - c.B, nil }

type Numbers struct{ To int }

func (c Numbers) Stream(_ context.Context, _ nothing, send func(int) error) error {
	for i := range c.To {
		if err := send(i); err != nil {
			return err
		}
	}
	return nil
}

func setOf(register ...func(*codec.Set[nothing])) *codec.Set[nothing] {
	set := codec.NewSet[nothing](jsonformat.Format{})
	for _, r := range register {
		r(set)
	}
	return set
}

func sum1(s *codec.Set[nothing])        { codec.Unary[Sum](s, 1) }
func newerSum1(s *codec.Set[nothing])   { codec.Unary[newerSum](s, 1) }
func other1(s *codec.Set[nothing])      { codec.Unary[textSum](s, 1) }
func difference1(s *codec.Set[nothing]) { codec.Unary[Difference](s, 1) }
func numbers2(s *codec.Set[nothing])    { codec.Stream[Numbers](s, 2) }

// TestWhatTheServerReadsDifferently: a command that the server lacks or reads differently
// is refused before it is sent, and all others work.
func TestWhatTheServerReadsDifferently(t *testing.T) {
	tests := []struct {
		name   string
		client *codec.Set[nothing]
		server *codec.Set[nothing]
		want   []string // in the refusal of Sum; nil: it works
	}{
		{"the same", setOf(sum1, numbers2), setOf(numbers2, sum1), nil},
		{"a newer server", setOf(sum1, numbers2), setOf(newerSum1, numbers2), []string{"cmdstream_test.Sum", "v2.Sum", "fields"}},
		{"another result", setOf(sum1, numbers2), setOf(other1, numbers2), []string{"cmdstream_test.Sum", "results"}},
		{"another command", setOf(sum1, numbers2), setOf(difference1, numbers2), []string{"cmdstream_test.Sum", "cmdstream_test.Difference", "tag 1"}},
		{"an older server", setOf(sum1, numbers2), setOf(numbers2), []string{"cmdstream_test.Sum", "no command with the tag 1"}},
		{"fields ignored", setOf(sum1, numbers2, (*codec.Set[nothing]).IgnoreFields), setOf(newerSum1, numbers2), nil},
		{"another command, fields ignored", setOf(sum1, numbers2, (*codec.Set[nothing]).IgnoreFields), setOf(difference1, numbers2), []string{"cmdstream_test.Difference"}},
		{"too many for the hello", setOf(sum1, numbers2), setOf(newerSum1, numbers2, many), []string{"v2.Sum"}},
		{"many, and the same", setOf(sum1, numbers2), setOf(sum1, numbers2, many), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := cmdstreamtest.New(t, test.client.Client(), test.server.Server(), nothing{})
			for range 2 {
				sum, err := cmdstream.Do(t.Context(), c, Sum{2, 3})
				if test.want == nil && (err != nil || sum != 5) {
					t.Errorf("Sum: %d, %v", sum, err)
				}
				if test.want != nil {
					checkRefused(t, err, test.want)
				}
				checkNumbers(t, c)
			}
		})
	}
}

// many are more commands than a hello has room for.
func many(set *codec.Set[nothing]) {
	codec.Unary[filler[int]](set, 10)
	codec.Unary[filler[int8]](set, 11)
	codec.Unary[filler[int16]](set, 12)
	codec.Unary[filler[int32]](set, 13)
	codec.Unary[filler[uint]](set, 14)
	codec.Unary[filler[uint16]](set, 15)
	codec.Unary[filler[uint32]](set, 16)
}

type filler[T any] struct{ V T }

func (filler[T]) Run(context.Context, nothing) (int, error) { return 0, nil }
func (filler[T]) CommandName() string                       { return strings.Repeat("x", 1000) }

func checkRefused(t *testing.T, err error, want []string) {
	t.Helper()
	var e *base.Error
	if !errors.As(err, &e) || e.Outcome != base.Rejected || e.Code != base.ErrUnknownCmd || e.Remote {
		t.Errorf("Sum was refused by %v", err)
		return
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not name %q", err, part)
		}
	}
}

func checkNumbers(t *testing.T, c cmdstream.Client[nothing]) {
	t.Helper()
	var got []int
	for n, err := range cmdstream.Results(t.Context(), c, Numbers{3}) {
		if err != nil {
			t.Error(err)
			return
		}
		got = append(got, n)
	}
	if !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("Numbers: %v", got)
	}
}

// network is a place where the server changes.
type network struct {
	mu       sync.Mutex
	listener *memnet.Listener
	conns    []net.Conn
}

// to lets s be the server, and cuts all connections.
func (n *network) to(t *testing.T, set *codec.Set[nothing], conf server.Conf[nothing]) *server.Server {
	t.Helper()
	s, err := server.New(set.Server(), nothing{}, conf)
	if err != nil {
		t.Fatal(err)
	}
	l := memnet.Listen()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = l
	for _, conn := range n.conns {
		conn.Close()
	}
	n.conns = nil
	return s
}

func (n *network) dial(ctx context.Context) (net.Conn, error) {
	n.mu.Lock()
	l := n.listener
	n.mu.Unlock()
	conn, err := l.Dial(ctx)
	if err == nil {
		n.mu.Lock()
		n.conns = append(n.conns, conn)
		n.mu.Unlock()
	}
	return conn, err
}

// TestNegotiationAfterAReconnect: what the next server has counts from then on.
func TestNegotiationAfterAReconnect(t *testing.T) {
	for _, session := range []bool{false, true} {
		t.Run(fmt.Sprint("session ", session), func(t *testing.T) {
			n := new(network)
			n.to(t, setOf(numbers2), server.Conf[nothing]{})
			c, err := client.NewReconnect(t.Context(), setOf(sum1, numbers2).Client(), n.dial, client.Conf{Session: session})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = cmdstream.Do(t.Context(), c, Sum{2, 3})
			checkRefused(t, err, []string{"no command"})

			n.to(t, setOf(sum1, numbers2, many), server.Conf[nothing]{}) // which is to be asked
			sum := 0
			until(t, func() bool {
				sum, err = cmdstream.Do(t.Context(), c, Sum{2, 3})
				return err == nil
			})
			if sum != 5 {
				t.Errorf("a newer server: %d, %v", sum, err)
			}
			checkNumbers(t, c)

			n.to(t, setOf(numbers2), server.Conf[nothing]{})
			until(t, func() bool {
				_, err = cmdstream.Do(t.Context(), c, Sum{2, 3})
				return errors.Is(err, base.ErrUnknownCmd)
			})
			checkRefused(t, err, []string{"no command"})
			checkNumbers(t, c)
		})
	}
}

// until waits for a client to notice that its connection was cut.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 10 s")
		}
	}
}

// refusing is middleware that runs what the set has, and nothing else, as long as it is on.
func refusing(on *atomic.Bool, code base.Code) handler.Middleware[nothing] {
	return func(next handler.Invoker[nothing]) handler.Invoker[nothing] {
		return handler.InvokerFunc[nothing](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[nothing], proxy base.Proxy) error {
			if _, ok := cmd.(base.Unary[nothing, int, Sum]); !ok && on.Load() {
				return &base.Error{Outcome: base.Rejected, Code: code, Message: "not now"}
			}
			return next.Invoke(ctx, at, seq, cmd, proxy)
		})
	}
}

// TestAServerThatRefusesToTellWhatItHas: without an answer a command could be taken for
// another, so the client does not connect. A server that is busy is asked again.
func TestAServerThatRefusesToTellWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var on atomic.Bool
		on.Store(true)
		n := new(network)
		n.to(t, setOf(difference1, many), server.Conf[nothing]{Use: []handler.Middleware[nothing]{refusing(&on, "mood")}})
		c, err := client.NewReconnect(t.Context(), setOf(sum1).Client(), n.dial, client.Conf{})
		if err == nil || !strings.Contains(err.Error(), "does not tell them: not now") || base.OutcomeOf(err) != base.NotSent {
			t.Fatalf("%v, %v", c, err)
		}
		n.to(t, setOf(difference1, many), server.Conf[nothing]{Use: []handler.Middleware[nothing]{refusing(&on, base.ErrBusy)}})
		time.AfterFunc(5*time.Second, func() { on.Store(false) })
		began := time.Now()
		c, err = client.NewReconnect(t.Context(), setOf(sum1).Client(), n.dial, client.Conf{})
		if took := time.Since(began); err != nil || took < 5*time.Second {
			t.Fatalf("a busy server, after %v: %v", took, err)
		}
		defer c.Close()
		_, err = cmdstream.Do(t.Context(), c, Sum{2, 3})
		checkRefused(t, err, []string{"Difference"})
	})
}

// TestAServerThatWantsToBeAskedAgain breaks the rules.
func TestAServerThatWantsToBeAskedAgain(t *testing.T) {
	codec := askedAgain{setOf(sum1).Client()}
	n := new(network)
	n.to(t, setOf(sum1, many), server.Conf[nothing]{})
	if c, err := client.NewReconnect(t.Context(), codec, n.dial, client.Conf{}); !errors.Is(err, base.ErrProtocol) {
		t.Errorf("%v, %v", c, err)
	}
}

// askedAgain reads in each list that it is to ask for one.
type askedAgain struct{ *codec.ClientCodec[nothing] }

func (a askedAgain) Agree([]byte) (func(base.Cmd[nothing]) error, base.Cmd[nothing], error) {
	return a.ClientCodec.Agree([]byte{2})
}

// TestTheCatalogueIsAboveTheLimits: what is small does not keep the two apart.
func TestTheCatalogueIsAboveTheLimits(t *testing.T) {
	limited := func(set *codec.Set[nothing]) { set.Limit(100) }
	c := cmdstreamtest.New(t, setOf(sum1, limited).Client(), setOf(difference1, many, limited).Server(), nothing{},
		cmdstreamtest.Conf[nothing]{Server: server.Conf[nothing]{ServerSettings: server.Settings{MaxInFlight: 1}}})
	_, err := cmdstream.Do(t.Context(), c, Sum{2, 3})
	checkRefused(t, err, []string{"Difference"})
}

// TestAnAnswerIsNoCommand: it does not reset the backoff of a client whose connections are
// lost again at once.
func TestAnAnswerIsNoCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		n.to(t, setOf(sum1, many), server.Conf[nothing]{})
		var dials atomic.Int64
		dial := func(ctx context.Context) (net.Conn, error) {
			conn, err := n.dial(ctx)
			if dials.Add(1); err == nil {
				time.AfterFunc(20*time.Millisecond, func() { conn.Close() })
			}
			return conn, err
		}
		c, err := client.NewReconnect(t.Context(), setOf(sum1).Client(), dial, client.Conf{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		c.Close()
		if n := dials.Load(); n > 30 {
			t.Errorf("%d dials in 3 s", n)
		}
		time.Sleep(time.Second) // for the timers
	})
}

// TestAServerThatDrainsWhileItIsAsked: the client takes the next one, once.
func TestAServerThatDrainsWhileItIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		n.to(t, setOf(sum1), server.Conf[nothing]{})
		c, err := client.NewReconnect(t.Context(), setOf(sum1).Client(), n.dial, client.Conf{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		asked := make(chan struct{})
		hang := func(handler.Invoker[nothing]) handler.Invoker[nothing] {
			return handler.InvokerFunc[nothing](func(ctx context.Context, _ time.Time, _ base.Seq, _ base.Cmd[nothing], _ base.Proxy) error {
				close(asked)
				<-ctx.Done()
				return ctx.Err()
			})
		}
		draining := n.to(t, setOf(sum1, many), server.Conf[nothing]{Use: []handler.Middleware[nothing]{hang}})
		<-asked
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			draining.Shutdown(ctx)
		}()
		time.Sleep(20 * time.Millisecond) // until the client has been told
		last := n.to(t, setOf(sum1, many), server.Conf[nothing]{})
		time.Sleep(10 * time.Second)
		if sum, err := cmdstream.Do(t.Context(), c, Sum{2, 3}); sum != 5 || err != nil {
			t.Errorf("%d, %v", sum, err)
		}
		if n := last.Stats().Connections; n != 1 {
			t.Errorf("the next server has %d connections", n)
		}
	})
}

// TestAServerThatNeverAnswersWhatItHas: that takes no longer than a hello may.
func TestAServerThatNeverAnswersWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(handler.Invoker[nothing]) handler.Invoker[nothing] {
			return handler.InvokerFunc[nothing](func(ctx context.Context, _ time.Time, _ base.Seq, _ base.Cmd[nothing], _ base.Proxy) error {
				<-ctx.Done()
				return ctx.Err()
			})
		}
		n := new(network)
		n.to(t, setOf(sum1, many), server.Conf[nothing]{Use: []handler.Middleware[nothing]{hang}})
		began := time.Now()
		_, err := client.NewReconnect(t.Context(), setOf(sum1).Client(), n.dial, client.Conf{SysDataReceiveTimeout: 3 * time.Second})
		if took := time.Since(began); !errors.Is(err, base.ErrHello) && !errors.Is(err, base.ErrDeadline) || took != 3*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// reflectOn connects a client that knows no commands.
func reflectOn(t *testing.T, set *codec.Set[nothing]) *client.Client[reflection.None] {
	t.Helper()
	n := new(network)
	n.to(t, set, server.Conf[nothing]{})
	c, err := client.NewReconnect(t.Context(), reflection.NewCodec(), n.dial, client.Conf{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestReflection(t *testing.T) {
	c := reflectOn(t, setOf(sum1, numbers2, (*codec.Set[nothing]).Reflect))
	d, err := reflection.Describe(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(d)
	const want = `{"format":"json.Format","reflection":true,"commands":[` +
		`{"tag":1,"name":"cmdstream_test.Sum","kind":"unary","body":{"name":"cmdstream_test.Sum","kind":"struct","fields":[{"name":"A","type":{"kind":"int"}},{"name":"B","type":{"kind":"int"}}]},"result":{"kind":"int"}},` +
		`{"tag":2,"name":"cmdstream_test.Numbers","kind":"stream","body":{"name":"cmdstream_test.Numbers","kind":"struct","fields":[{"name":"To","type":{"kind":"int"}}]},"result":{"kind":"int"}}]}`
	if string(got) != want {
		t.Errorf("the description is\n%s\nwant\n%s", got, want)
	}
	for _, test := range []struct {
		name, body, want string
		code             base.Code
		outcome          base.Outcome
	}{
		{"Sum", `{"A":2,"B":3}`, "[5]", "", base.Succeeded},
		{"cmdstream_test.Sum", `{}`, "[0]", "", base.Succeeded},
		{"Numbers", `{"To":3}`, "[0 1 2]", "", base.Succeeded},
		{"Numbers", `{"To":0}`, "[]", "", base.Succeeded},
		{"Product", `{}`, "[]", base.ErrUnknownCmd, base.Rejected},
		{"Sum", `{"A":2,"C":3}`, "[]", base.ErrDecode, base.Rejected},
		{"Sum", `{"A":"two"}`, "[]", base.ErrDecode, base.Rejected},
		{"Sum", `{"A":`, "[]", base.ErrDecode, base.Rejected},
		{"Sum", ``, "[]", base.ErrDecode, base.Rejected},
		{strings.Repeat("x", 2000), `{}`, "[]", base.ErrDecode, base.Rejected},
	} {
		var got []string
		var last error
		for text, err := range reflection.Call(t.Context(), c, test.name, json.RawMessage(test.body)) {
			if last = err; err == nil {
				got = append(got, string(text))
			}
		}
		if fmt.Sprint(got) != test.want || base.OutcomeOf(last) != test.outcome || test.code != "" && !errors.Is(last, test.code) {
			t.Errorf("%.20s %s: %v, %v", test.name, test.body, got, last)
		}
	}
}

// TestWithoutReflection: names are told, nothing else, and nothing is run.
func TestWithoutReflection(t *testing.T) {
	c := reflectOn(t, setOf(sum1))
	d, err := reflection.Describe(t.Context(), c)
	if err != nil || d.Reflection || len(d.Commands) != 1 || d.Commands[0].Name != "cmdstream_test.Sum" || d.Commands[0].Body != nil {
		t.Errorf("%+v, %v", d, err)
	}
	for _, err := range reflection.Call(t.Context(), c, "Sum", json.RawMessage(`{}`)) {
		if !errors.Is(err, base.ErrUnsupported) || base.OutcomeOf(err) != base.Rejected {
			t.Errorf("Call: %v", err)
		}
	}
}

// TestNamesOfWhatComesByReflection: middleware sees the command's own name and type.
func TestNamesOfWhatComesByReflection(t *testing.T) {
	names, types := make(chan string, 2), make(chan string, 2)
	look := func(next handler.Invoker[nothing]) handler.Invoker[nothing] {
		return handler.InvokerFunc[nothing](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[nothing], proxy base.Proxy) error {
			names <- base.NameOf(cmd)
			types <- fmt.Sprintf("%T", cmd)
			return next.Invoke(ctx, at, seq, cmd, proxy)
		})
	}
	n := new(network)
	n.to(t, setOf(sum1, numbers2, (*codec.Set[nothing]).Reflect), server.Conf[nothing]{Use: []handler.Middleware[nothing]{look}})
	c, err := client.NewReconnect(t.Context(), reflection.NewCodec(), n.dial, client.Conf{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range []string{"Sum", "Numbers"} {
		for _, err := range reflection.Call(t.Context(), c, name, json.RawMessage(`{}`)) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := <-names; got != "cmdstream_test."+name {
			t.Errorf("%s is named %s", name, got)
		}
	}
	if one, two := <-types, <-types; one == two {
		t.Errorf("both are of the type %s: what is kept by type would be mixed", one)
	}
}
