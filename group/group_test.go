package group_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	"github.com/cmdstream/cmdstream/group"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// A group is a client, as the typed calls and middleware need one.
var (
	_ cmdstream.Client[*host] = (*group.Group[*host])(nil)
	_ cmdstream.Opener[*host] = (*group.Group[*host])(nil)
)

func TestConfsThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		conf group.Conf
		want string
	}{
		"no servers":          {group.Conf{}, "Servers is not set"},
		"an empty list":       {group.Conf{Servers: group.Static()}, "there are no addresses"},
		"an empty address":    {group.Conf{Servers: group.Static("a:1", "")}, "address 2 of 2 is empty"},
		"an address twice":    {group.Conf{Servers: group.Static("a:1", "b:1", "a:1")}, "the address a:1 is there twice"},
		"a name without port": {group.Conf{Servers: group.DNS("calc.internal", 0)}, "missing port"},
		"an empty port":       {group.Conf{Servers: group.DNS("calc.internal:", 0)}, "there is no port"},
		"an empty host":       {group.Conf{Servers: group.DNS(":9000", 0)}, "there is no host"},
		"refresh":             {group.Conf{Servers: group.DNS("calc.internal:9000", -1)}, "refresh is negative"},
		"no function":         {group.Conf{Servers: group.Lookup(nil, 0)}, "the function of Lookup is nil"},
		"PerAddress":          {group.Conf{Servers: group.Static("a:1"), PerAddress: -1}, "PerAddress is negative"},
		"a strategy":          {group.Conf{Servers: group.Static("a:1"), Strategy: 3}, "there is no strategy 3"},
		"StateCallback":       {group.Conf{Servers: group.Static("a:1"), Client: client.Conf{StateCallback: func(client.StateChange) {}}}, "StateCallback"},
		"FirstSeq":            {group.Conf{Servers: group.Static("a:1"), Client: client.Conf{FirstSeq: 7}}, "FirstSeq"},
		"the client's":        {group.Conf{Servers: group.Static("a:1"), Client: client.Conf{Timeout: -1}}, "Timeout is negative"},
		"no dialer":           {group.Conf{Servers: group.Static("a:1"), Dial: func(string) client.Dialer { return nil }}, "the dialer is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := group.New(t.Context(), set.Client(), c.conf)
			want(t, err, base.NotSent, base.ErrConf)
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, c.want)
			}
		})
	}
	_, err := group.New[*host](t.Context(), nil, group.Conf{Servers: group.Static("a:1")})
	want(t, err, base.NotSent, base.ErrConf)
	if !strings.Contains(err.Error(), "the codec is nil") {
		t.Errorf("got %q", err)
	}
}

func TestStrategyString(t *testing.T) {
	if got := fmt.Sprint(group.RoundRobin, ", ", group.LeastInFlight, ", ", group.Sticky); got != "round robin, least in flight, sticky" {
		t.Error(got)
	}
}

// A member that never connects holds nobody up.
func TestNewIsContentWithOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a")
		begin := time.Now()
		g := c.join(group.Conf{Servers: group.Static("nobody", "a", "neither")})
		if got := asks(t, g, 9); got["a"] != 9 {
			t.Errorf("got %v", got)
		}
		took(t, begin, 0)
		c.up("neither", server.Conf[*host]{})
		time.Sleep(10 * time.Second) // the backoff is 5 s at most
		if got := asks(t, g, 12); got["a"] != 6 || got["neither"] != 6 {
			t.Errorf("got %v", got)
		}
	})
}

func TestNewFindsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t)
		conf := c.conf(group.Conf{Servers: group.Static("a", "b")})
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := group.New(ctx, set.Client(), conf)
		took(t, begin, 7*time.Second)
		want(t, err, base.NotSent, base.ErrNotConnected, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "none of the group's 2 connections is up (a: ") || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %q", err)
		}
		begin = time.Now()
		_, err = group.New(context.Background(), set.Client(), conf)
		took(t, begin, group.DefaultConnectTimeout)
		want(t, err, base.NotSent, base.ErrNotConnected)
	})
}

// What waiting can't mend is an error at once, unless one of the servers will do.
func TestNewFindsOnlyStrangers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t)
		c.up("a", server.Conf[*host]{ServerInfo: []byte("another")})
		begin := time.Now()
		_, err := group.New(t.Context(), set.Client(), c.conf(group.Conf{Servers: group.Static("a"), PerAddress: 2}))
		took(t, begin, 0)
		want(t, err, base.NotSent, base.ErrServerInfo)

		c.up("b", server.Conf[*host]{})
		g := c.join(group.Conf{Servers: group.Static("a", "b")})
		if got := asks(t, g, 4); got["b"] != 4 {
			t.Errorf("got %v", got)
		}
		// The stranger is replaced by one of ours.
		c.down("a")
		c.up("a", server.Conf[*host]{})
		time.Sleep(10 * time.Second)
		if got := asks(t, g, 4); got["a"] != 2 {
			t.Errorf("got %v", got)
		}
		// And by a stranger, and once more by one of ours.
		c.down("a")
		c.up("a", server.Conf[*host]{ServerInfo: []byte("another")})
		time.Sleep(10 * time.Second)
		if got := asks(t, g, 4); got["b"] != 4 {
			t.Errorf("got %v", got)
		}
		c.down("a")
		c.up("a", server.Conf[*host]{})
		time.Sleep(10 * time.Second)
		if got := asks(t, g, 4); got["a"] != 2 {
			t.Errorf("got %v", got)
		}
	})
}

func TestADialThatPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := group.New(ctx, set.Client(), c.conf(group.Conf{
			Servers: group.Static("a"), Dial: func(string) client.Dialer { panic("not today") },
		}))
		want(t, err, base.NotSent, base.ErrNotConnected)
		if !strings.Contains(err.Error(), "Dial panicked: not today") {
			t.Errorf("got %q", err)
		}
	})
}

func TestPerAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b"), PerAddress: 3})
		if c.at("a").dials != 3 || c.at("b").dials != 3 {
			t.Errorf("%d and %d connections, want 3 and 3", c.at("a").dials, c.at("b").dials)
		}
		if got := asks(t, g, 60); got["a"] != 30 || got["b"] != 30 {
			t.Errorf("got %v", got)
		}
	})
}

// While no member is connected, a group is like one client that is connecting.
func TestAllAreDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b"), Client: client.Conf{Timeout: time.Minute, SendTimeout: 20 * time.Second}})
		c.down("a")
		c.down("b")
		synctest.Wait()

		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := g.Do(ctx, where)
		took(t, begin, 5*time.Second)
		want(t, err, base.NotSent, base.ErrDeadline, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "Where") || !strings.Contains(err.Error(), "none of the group's 2 connections is up (a: ") {
			t.Errorf("got %q", err)
		}

		begin = time.Now()
		_, err = g.Do(context.Background(), where)
		took(t, begin, time.Minute)
		want(t, err, base.NotSent, base.ErrDeadline)

		begin = time.Now()
		_, err = g.Send(where, make(chan base.AsyncResult))
		took(t, begin, 20*time.Second)
		want(t, err, base.NotSent, base.ErrDeadline)

		canceled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		for _, err = range g.Results(canceled, where) {
		}
		want(t, err, base.NotSent, base.ErrCanceled, context.Canceled)
		_, err = g.Open(canceled, where)
		want(t, err, base.NotSent, base.ErrCanceled)

		// One that comes back serves who waits.
		time.AfterFunc(10*time.Second, func() { c.up("b", server.Conf[*host]{}) })
		if got := asks(t, g, 3); got["b"] != 3 {
			t.Errorf("got %v", got)
		}
	})
}

// The time that a command has waited for a member is taken off its Timeout.
func TestTheTimeoutIsOfTheWholeCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a")
		g := c.join(group.Conf{Servers: group.Static("a"), Client: client.Conf{Timeout: 30 * time.Second}})
		for name, do := range map[string]func() error{
			"Do": func() error { _, err := g.Do(context.Background(), wait); return err },
			"Results": func() (err error) {
				for _, err = range g.Results(context.Background(), wait) {
				}
				return err
			},
			"Open": func() error {
				x, err := cmdstream.Open(context.Background(), g, Echo{})
				if err != nil {
					return err
				}
				defer x.Close()
				_, err = x.Receive()
				return err
			},
		} {
			c.down("a")
			synctest.Wait()
			time.AfterFunc(10*time.Second, func() { c.up("a", server.Conf[*host]{}) })
			begin := time.Now()
			err := do()
			took(t, begin, 30*time.Second)
			if !errors.Is(err, context.DeadlineExceeded) || base.OutcomeOf(err) != base.Unknown {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// A command that could not leave its member goes to another; one that may have run does not.
func TestALostMembersCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b")})
		for range 20 {
			c.cut("a") // its client may not know yet
			got := asks(t, g, 4)
			if got["a"]+got["b"] != 4 {
				t.Fatalf("got %v", got)
			}
			time.Sleep(10 * time.Second)
		}

		ended := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := g.Do(context.Background(), wait)
				ended <- err
			}()
		}
		synctest.Wait()
		ran := c.at("b").ran.Load()
		c.down("a")
		want(t, <-ended, base.Unknown, base.ErrConnLost)
		if c.at("b").ran.Load() != ran {
			t.Error("it has run once more")
		}
		close(c.at("b").release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// An idempotent one goes to another member, and does not wait for its own.
func TestALostMembersIdempotentCommands(t *testing.T) {
	harmless := base.Unary[*host, string, Harmless]{}
	calls := map[string]func(g *group.Group[*host]) error{
		"Do": func(g *group.Group[*host]) error {
			_, err := g.Do(context.Background(), harmless)
			return err
		},
		"Results": func(g *group.Group[*host]) (err error) {
			for _, err = range g.Results(context.Background(), harmless) {
			}
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := start(t, "a", "b")
				g := c.join(group.Conf{Servers: group.Static("a", "b"), Client: client.Conf{Timeout: time.Minute}})
				begin := time.Now()
				ended := make(chan error, 1)
				go func() { ended <- call(g) }()
				synctest.Wait()
				first, second := "a", "b"
				if c.at("b").ran.Load() == 1 {
					first, second = "b", "a"
				}
				time.Sleep(20 * time.Second)
				c.down(first)
				synctest.Wait()
				if n := c.at(second).ran.Load(); n != 1 {
					t.Fatalf("%d commands run at the other server", n)
				}
				// Lost there, too, it waits; and since it may have run, it says so in the end.
				c.down(second)
				err := <-ended
				took(t, begin, time.Minute)
				want(t, err, base.Unknown, base.ErrDeadline)
			})
		})
	}
	t.Run("one that panics when it is asked", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := start(t, "a", "b")
			g := c.join(group.Conf{Servers: group.Static("a", "b")})
			ended := make(chan error, 1)
			go func() {
				_, err := cmdstream.Do(context.Background(), g, Harmless{Panics: true})
				ended <- err
			}()
			synctest.Wait()
			c.cut("a")
			c.cut("b")
			want(t, <-ended, base.Unknown, base.ErrConnLost)
		})
	})
}

// busy makes a server run one command at a time, which is running.
func busy(t *testing.T, c *cluster, address string) {
	t.Helper()
	m := c.up(address, server.Conf[*host]{MaxRunning: 1, MaxQueued: 1, MaxQueueTime: time.Minute})
	alone := c.join(group.Conf{Servers: group.Static(address)})
	for range 2 {
		go alone.Do(t.Context(), wait)
		synctest.Wait()
	}
	if m.ran.Load() != 1 {
		t.Fatal("the server is not busy")
	}
}

func TestABusyServersCommandsGoToAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "b")
		busy(t, c, "a")
		g := c.join(group.Conf{Servers: group.Static("a", "b"), PerAddress: 2})
		if got := asks(t, g, 10); got["b"] != 10 {
			t.Errorf("got %v", got)
		}
		c.down("b")
		synctest.Wait()
		busy(t, c, "b")
		time.Sleep(10 * time.Second)
		shed := func() uint64 { return c.at("a").server.Stats().Shed + c.at("b").server.Stats().Shed }
		before := shed()
		begin := time.Now()
		_, err := g.Do(t.Context(), where)
		took(t, begin, 0)
		want(t, err, base.Rejected, base.ErrBusy)
		if n := shed() - before; n != 2 {
			t.Errorf("it was refused %d times, want once by each", n)
		}
		// There is none but the busy one.
		c.down("b")
		synctest.Wait()
		_, err = g.Do(t.Context(), where)
		want(t, err, base.Rejected, base.ErrBusy)
		_, err = g.Do(t.Context(), base.Unary[*host, string, Harmless]{})
		want(t, err, base.Rejected, base.ErrBusy)
	})
}

func TestADrainingServersCommandsGoToAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b"), Strategy: group.Sticky})
		var stops sync.WaitGroup
		for _, address := range []string{"a", "b"} {
			begun := make(chan struct{})
			stops.Go(func() {
				close(begun)
				c.at(address).server.Shutdown(t.Context())
				c.up(address, server.Conf[*host]{})
			})
			<-begun
			if got := asks(t, g, 50); got["a"]+got["b"] != 50 {
				t.Errorf("got %v", got)
			}
			stops.Wait()
			time.Sleep(10 * time.Second)
		}
	})
}

// The results of several members' commands go into one channel, and each Seq tells its
// command.
func TestSend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b", "c")
		g := c.join(group.Conf{Servers: group.Static("a", "b", "c")})
		results := make(chan base.AsyncResult, 30)
		open := make(map[base.Seq]bool)
		for range 30 {
			seq, err := g.Send(wait, results)
			if err != nil {
				t.Fatal(err)
			}
			open[seq] = true
		}
		if len(open) != 30 {
			t.Fatalf("%d different Seqs for 30 commands", len(open))
		}
		for seq := range open {
			if !g.Has(seq) {
				t.Errorf("it does not have %d", seq)
			}
		}
		seqs := slices.Sorted(maps.Keys(open))
		forgotten := []base.Seq{seqs[0], seqs[15], seqs[29]}
		for _, seq := range forgotten {
			g.Forget(seq)
			if g.Has(seq) {
				t.Errorf("it has %d, which was forgotten", seq)
			}
			delete(open, seq)
		}
		time.Sleep(time.Second) // each server's leader hands over, from command to command
		for _, address := range []string{"a", "b", "c"} {
			if n := c.at(address).ran.Load(); n != 10 {
				t.Errorf("%s runs %d commands, want 10", address, n)
			}
			close(c.at(address).release)
		}
		for range 27 {
			r := <-results
			if r.Err != nil || !open[r.Seq] {
				t.Errorf("got %+v", r)
			}
			delete(open, r.Seq)
		}
		synctest.Wait()
		if len(results) > 0 || g.Has(seqs[1]) || g.Has(0) {
			t.Error("there is more")
		}
	})
}

func TestSendFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a")
		g := c.join(group.Conf{Servers: group.Static("a"), Strategy: group.Sticky, Client: client.Conf{Timeout: time.Second}})
		_, err := g.Send(where, nil)
		want(t, err, base.NotSent, base.ErrNilResults)
		_, err = g.Send(nil, make(chan base.AsyncResult))
		want(t, err, base.NotSent, base.ErrNilCmd)
		_, err = g.Send(panicky{}, make(chan base.AsyncResult))
		want(t, err, base.NotSent, base.ErrPanic)
		c.down("a")
		synctest.Wait()
		begin := time.Now()
		_, err = g.Send(where, make(chan base.AsyncResult))
		want(t, err, base.NotSent, base.ErrDeadline)
		took(t, begin, time.Second)
	})
}

// panicky has a Key that panics.
type panicky struct{}

func (panicky) Exec(context.Context, time.Time, base.Seq, *host, base.Proxy) error { return nil }

func (panicky) Key() string { panic("not today") }

func TestAKeyThatPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a")
		g := c.join(group.Conf{Servers: group.Static("a"), Strategy: group.Sticky})
		_, err := g.Do(t.Context(), panicky{})
		want(t, err, base.NotSent, base.ErrPanic)
		if got := err.Error(); got != "cmdstream: command group_test.panicky: its method Key panicked: not today (outcome: not sent)" {
			t.Error(got)
		}
		for _, err = range g.Results(t.Context(), panicky{}) {
		}
		want(t, err, base.NotSent, base.ErrPanic)
		_, err = g.Open(t.Context(), panicky{})
		want(t, err, base.NotSent, base.ErrPanic)
	})
}

// A loop of Results goes to another member until it has a result, and no longer.
func TestResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b")})
		next := func() string { // where the next command goes
			if slices.Contains(slices.Collect(maps.Keys(asks(t, g, 1))), "a") {
				return "b"
			}
			return "a"
		}
		var got []string
		address := next()
		for r, err := range cmdstream.Results(t.Context(), g, Count{N: 3, Pause: -1}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if want := []string{address + " 0", address + " 1", address + " 2"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}

		c.cut(next()) // its client may not know yet
		n := 0
		for _, err := range cmdstream.Results(t.Context(), g, Count{N: 3, Pause: -1}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 3 {
			t.Errorf("got %d results, want 3", n)
		}
		time.Sleep(time.Second)

		var last error
		for _, err := range cmdstream.Results(t.Context(), g, Count{N: 3, Pause: 1}) {
			if last = err; err == nil {
				c.cut("a")
				c.cut("b")
			}
		}
		want(t, last, base.Unknown, base.ErrConnLost)

		time.Sleep(time.Second)
		for range cmdstream.Results(t.Context(), g, Count{N: 3, Pause: 1}) {
			break
		}
	})
}

func TestOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b"), Client: client.Conf{Timeout: time.Minute}})
		for range 4 {
			c.cut("a") // so that some are opened anew
			x, err := cmdstream.Open(t.Context(), g, Echo{})
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Send("hello"); err != nil {
				t.Error(err)
			}
			if r, err := x.Receive(); err != nil || !strings.HasSuffix(r, "hello") {
				t.Errorf("got %q, %v", r, err)
			}
			x.Close()
			time.Sleep(time.Second)
		}
		_, err := g.Open(t.Context(), nil)
		want(t, err, base.NotSent, base.ErrNilCmd)
	})
}

func TestStateCallback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a")
		var mu sync.Mutex
		var heard []string
		g := c.join(group.Conf{
			Servers: group.Static("a", "nobody"),
			StateCallback: func(address string, change client.StateChange) {
				mu.Lock()
				defer mu.Unlock()
				heard = append(heard, fmt.Sprintf("%s %v %d", address, change.State, change.Attempt))
				panic("not today")
			},
		})
		time.Sleep(time.Millisecond)
		c.cut("a")
		time.Sleep(time.Second)
		g.Close()
		mu.Lock()
		defer mu.Unlock()
		of := func(address string) (lines []string) {
			for _, line := range heard {
				if strings.HasPrefix(line, address+" ") {
					lines = append(lines, line)
				}
			}
			return lines
		}
		if got := of("a"); !slices.Equal(got, []string{"a connected 0", "a connecting 0", "a connected 0", "a closed 0"}) {
			t.Errorf("got %q", got)
		}
		if got := of("nobody"); len(got) < 2 || got[0] != "nobody connecting 1" || got[1] != "nobody connecting 2" {
			t.Errorf("got %q", got)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b", "nobody")})
		ended := make(chan error, 10)
		for range 10 {
			go func() {
				_, err := g.Do(context.Background(), wait)
				ended <- err
			}()
		}
		synctest.Wait()
		select {
		case <-g.Done():
			t.Error("it is done already")
		default:
		}
		if err := g.Err(); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		for range 2 {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("it took %v", d)
		}
		for range 10 {
			want(t, <-ended, base.Unknown, base.ErrClosed)
		}
		<-g.Done()
		want(t, g.Err(), base.NotSent, base.ErrClosed)
		_, err := g.Do(context.Background(), where)
		want(t, err, base.NotSent, base.ErrClosed)
		if g.Has(1) {
			t.Error("a command is open")
		}
	})
}

// Who waits for a member is told that none comes.
func TestCloseWhileACommandWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a")
		g := c.join(group.Conf{Servers: group.Static("a")})
		c.down("a")
		synctest.Wait()
		ended := make(chan error, 1)
		go func() {
			_, err := g.Do(context.Background(), where)
			ended <- err
		}()
		synctest.Wait()
		g.Close()
		want(t, <-ended, base.NotSent, base.ErrClosed)
	})
}

// A dialer that does not heed its ctx can't hold Close up for ever.
func TestCloseWhileADialerHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a")
		release := make(chan struct{})
		g := c.join(group.Conf{Servers: group.Static("a", "b"), Dial: func(address string) client.Dialer {
			if address == "a" {
				return c.dial(address)
			}
			return func(context.Context) (net.Conn, error) { <-release; return nil, errors.New("too late") }
		}})
		begin := time.Now()
		g.Close()
		took(t, begin, 2*time.Second)
		close(release)
	})
}

// Whatever happens to the members, each command has one end, and runs at most once, unless
// it says that it may run twice.
func TestConcurrentUse(t *testing.T) {
	for _, strategy := range []group.Strategy{group.RoundRobin, group.LeastInFlight, group.Sticky} {
		t.Run(strategy.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := start(t, "a", "b", "c")
				g := c.join(group.Conf{Servers: group.Static("a", "b", "c"), Strategy: strategy, PerAddress: 2})
				var succeeded, unknown atomic.Int64
				var callers sync.WaitGroup
				for i := range 20 {
					callers.Go(func() {
						for n := range 50 {
							time.Sleep(time.Millisecond)
							_, err := cmdstream.Do(t.Context(), g, Where{})
							if _, err := cmdstream.Do(t.Context(), g, Of{fmt.Sprint(i, n)}); err != nil && base.OutcomeOf(err) != base.Unknown {
								t.Error(err)
							}
							switch base.OutcomeOf(err) {
							case base.Succeeded:
								succeeded.Add(1)
							case base.Unknown:
								unknown.Add(1)
							default:
								t.Error(err)
							}
						}
					})
				}
				for i := range 25 {
					time.Sleep(2 * time.Millisecond)
					c.cut([]string{"a", "b", "c"}[i%3])
				}
				callers.Wait()
				var ran int64
				for _, address := range []string{"a", "b", "c"} {
					ran += c.at(address).ran.Load()
				}
				if s, u := succeeded.Load(), unknown.Load(); s+u != 1000 || ran < s || ran > 1000 {
					t.Errorf("%d commands have run, %d succeeded and %d are unknown", ran, s, u)
				}
			})
		})
	}
}

func TestCloseWhileInUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b")})
		enough := make(chan struct{})
		var done atomic.Int64
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				for {
					if done.Add(1) == 2000 {
						close(enough)
					}
					if _, err := g.Do(t.Context(), where); err != nil {
						if !errors.Is(err, base.ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		<-enough
		g.Close()
		callers.Wait()
	})
}

// With sessions a command stays with its member, whose connection comes back to it; new ones
// go to others meanwhile. If the session is lost, one that is idempotent is sent again by its
// member, for there it has an ID.
func TestSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g := c.join(group.Conf{Servers: group.Static("a", "b"), Client: client.Conf{Session: true}})
		ended := make(chan error, 2)
		call := func(cmd base.Cmd[*host]) {
			_, err := g.Do(context.Background(), cmd)
			ended <- err
		}
		go call(wait)
		synctest.Wait()
		go call(wait)
		synctest.Wait()
		c.refuse("a", true)
		c.cut("a")
		synctest.Wait()
		if got := asks(t, g, 4); got["b"] != 4 {
			t.Errorf("got %v", got)
		}
		c.refuse("a", false)
		time.Sleep(10 * time.Second)
		close(c.at("a").release)
		close(c.at("b").release)
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}

		c.down("a")
		c.down("b")
		c.up("a", server.Conf[*host]{})
		c.up("b", server.Conf[*host]{})
		time.Sleep(10 * time.Second)
		go call(base.Unary[*host, string, Harmless]{})
		synctest.Wait()
		its, other := "a", "b"
		if c.at("b").ran.Load() == 1 {
			its, other = "b", "a"
		}
		c.down(its)
		c.up(its, server.Conf[*host]{})
		time.Sleep(10 * time.Second)
		if here, there := c.at(its).ran.Load(), c.at(other).ran.Load(); here != 1 || there != 0 {
			t.Errorf("it was sent again %d times by its member, and %d times by another", here, there)
		}
		close(c.at(its).release)
		if err := <-ended; err != nil {
			t.Error(err)
		}

		// Nor does it get another ID if its own server is no more.
		go call(base.Unary[*host, string, Harmless]{})
		synctest.Wait()
		if c.at(other).ran.Load() == 1 {
			its, other = other, its
		}
		ran := c.at(other).ran.Load()
		c.down(its)
		c.up(its, server.Conf[*host]{ServerInfo: []byte("another")})
		err := <-ended
		var e *base.Error
		if want(t, err, base.Unknown, base.ErrServerInfo); !errors.As(err, &e) || e.ID == (base.ID{}) {
			t.Errorf("it has no ID: %v", err)
		}
		if n := c.at(other).ran.Load(); n != ran {
			t.Error("it was sent to another member")
		}
	})
}

// A codec that pretends to have no connection does not make a command go round for ever.
func TestACodecThatPretends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		g, err := group.New(t.Context(), pretender{set.Client()}, c.conf(group.Conf{Servers: group.Static("a", "b")}))
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		_, err = g.Do(t.Context(), where)
		want(t, err, base.NotSent, base.ErrNotConnected)
	})
}

type pretender struct{ client.Codec[*host] }

func (pretender) Encode(base.Cmd[*host], transport.Writer) error {
	return &base.Error{Code: base.ErrNotConnected}
}
