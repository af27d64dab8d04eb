package group_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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
)

// resolver answers for one host.
type resolver struct {
	mu      sync.Mutex
	ips     []string
	err     error
	panics  bool
	lookups int
}

func (r *resolver) set(err error, ips ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ips, r.err = ips, err
}

func (r *resolver) lookupHost(_ context.Context, host string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookups++
	if r.panics {
		panic("not today")
	}
	if host != "calc.internal" {
		return nil, errors.New("no such host")
	}
	return slices.Clone(r.ips), r.err
}

func (r *resolver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lookups
}

// journal is a log for several goroutines.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func TestDNS(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const a, b, six = "10.0.0.1:9000", "10.0.0.2:9000", "[fe80::1]:9000"
		c := start(t, a, b, six)
		r := &resolver{ips: []string{"10.0.0.2", "10.0.0.1", "10.0.0.2"}}
		var log journal
		g := c.join(group.Conf{
			Servers: group.DNSBy("calc.internal:9000", time.Minute, r.lookupHost),
			Client:  client.Conf{Logger: slog.New(slog.NewTextHandler(&log, nil))},
		})
		if got := asks(t, g, 10); got[a] != 5 || got[b] != 5 {
			t.Errorf("got %v", got)
		}

		// A member whose address is gone finishes what it has, and takes nothing more.
		first, second := make(chan string, 1), make(chan error, 1)
		go func() {
			address, err := cmdstream.Do(t.Context(), g, Wait{})
			first <- address
			second <- err
		}()
		results := make(chan base.AsyncResult, 1)
		seq, err := g.Send(wait, results)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.set(nil, "10.0.0.1", "fe80::1")
		time.Sleep(time.Minute + time.Second)
		if got := asks(t, g, 10); got[a] != 5 || got[six] != 5 {
			t.Errorf("got %v", got)
		}
		dials := c.at(a).dials
		if !g.Has(seq) || c.at(b).server.Stats().Connections != 1 {
			t.Error("what was open was closed")
		}
		close(c.at(a).release)
		close(c.at(b).release)
		<-first
		if err := <-second; err != nil {
			t.Error(err)
		}
		if r := <-results; r.Err != nil {
			t.Error(r.Err)
		}
		time.Sleep(2 * time.Second)
		if n := c.at(b).server.Stats().Connections; n != 0 {
			t.Errorf("%d connections to a server that is gone", n)
		}

		// A lookup that fails, or finds nothing, changes nothing.
		for _, err := range []error{errors.New("the resolver is down"), nil} {
			r.set(err)
			time.Sleep(time.Minute)
			if got := asks(t, g, 10); got[a] != 5 || got[six] != 5 {
				t.Errorf("after %v: got %v", err, got)
			}
		}
		for _, want := range []string{"the resolver is down", "the DNS name calc.internal has no address"} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("the log does not say %q:\n%s", want, log.String())
			}
		}
		r.mu.Lock()
		r.panics = true
		r.mu.Unlock()
		time.Sleep(time.Minute)
		if !strings.Contains(log.String(), "panicked: not today") {
			t.Errorf("the log says\n%s", log.String())
		}
		r.mu.Lock()
		r.panics = false
		r.mu.Unlock()

		// One that comes back is a member again; one that stays keeps its connection.
		r.set(nil, "10.0.0.1", "10.0.0.2")
		time.Sleep(time.Minute)
		if got := asks(t, g, 10); got[a] != 5 || got[b] != 5 {
			t.Errorf("got %v", got)
		}
		if c.at(a).dials != dials {
			t.Error("a server that stayed was dialed again")
		}
		g.Close()
		lookups := r.count()
		time.Sleep(10 * time.Minute)
		if r.count() != lookups {
			t.Error("it looks up after Close")
		}
	})
}

// The first lookup has to find something.
func TestTheFirstLookup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t)
		down := errors.New("the resolver is down")
		for name, test := range map[string]struct {
			source group.Source
			want   string
			is     error
		}{
			"fails":   {group.DNSBy("calc.internal:9000", 0, (&resolver{err: down}).lookupHost), "the DNS name calc.internal failed: the resolver is down", down},
			"nothing": {group.DNSBy("calc.internal:9000", 0, (&resolver{}).lookupHost), "the DNS name calc.internal has no address", nil},
			"empty":   {group.Lookup(func(context.Context) ([]string, error) { return []string{""}, nil }, 0), "the lookup has no address", nil},
			"panics":  {group.Lookup(func(context.Context) ([]string, error) { panic("not today") }, 0), "the lookup panicked: not today", nil},
			"hangs":   {group.Lookup(func(ctx context.Context) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() }, 0), "the lookup failed", context.DeadlineExceeded},
		} {
			_, err := group.New(t.Context(), set.Client(), c.conf(group.Conf{Servers: test.source}))
			want(t, err, base.NotSent, base.ErrNotConnected)
			if err == nil || !strings.Contains(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%s: got %v, want %q", name, err, test.want)
			}
		}
	})
}

// DNS itself asks the system, and heeds ctx.
func TestDNSAsksTheSystem(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := group.New(ctx, set.Client(), group.Conf{Servers: group.DNS("calc.invalid:9000", 0)})
	want(t, err, base.NotSent, base.ErrNotConnected)
	if !strings.Contains(err.Error(), "the DNS name calc.invalid failed") {
		t.Errorf("got %q", err)
	}
}

// Without another wish, addresses are looked up every 30 seconds.
func TestLookupRefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		var now atomic.Value
		now.Store("a")
		g := c.join(group.Conf{Servers: group.Lookup(func(context.Context) ([]string, error) { return []string{now.Load().(string), ""}, nil }, 0)})
		now.Store("b")
		time.Sleep(group.DefaultRefresh - time.Second)
		if got := asks(t, g, 1); got["a"] != 1 {
			t.Errorf("got %v", got)
		}
		time.Sleep(2 * time.Second)
		if got := asks(t, g, 1); got["b"] != 1 {
			t.Errorf("got %v", got)
		}
	})
}

// What is in flight on a member that leaves does not outlive the group.
func TestCloseWhileAMemberLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		var now atomic.Value
		now.Store("a")
		g := c.join(group.Conf{Servers: group.Lookup(func(context.Context) ([]string, error) { return []string{now.Load().(string)}, nil }, 0)})
		ended := make(chan error, 1)
		go func() {
			_, err := g.Do(context.Background(), wait)
			ended <- err
		}()
		synctest.Wait()
		now.Store("b")
		time.Sleep(time.Minute)
		g.Close()
		want(t, <-ended, base.Unknown, base.ErrClosed)
	})
}
