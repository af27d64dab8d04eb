package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// cases are what every kind of connection must do.
var cases = []struct {
	name string
	run  func(t *testing.T, p *pair)
}{
	{"unary", unary},
	{"who", whoIsIt},
	{"several results", severalResults},
	{"stream", stream},
	{"error", failure},
	{"large", large},
	{"many", many},
}

func TestMatrix(t *testing.T) {
	matrix(t, func(t *testing.T, k kind) {
		p := k.connect(t, client.Conf{}, server.Conf[*desk]{})
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { c.run(t, p) })
		}
	})
}

// soon bounds what would otherwise hang when it fails.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// receive waits for what comes from a channel.
func receive[V any](t *testing.T, from <-chan V) V {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-soon(t).Done():
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func unary(t *testing.T, p *pair) {
	for _, text := range []string{"", "text", "\x00\"\n…"} {
		if got, err := cmdstream.Do(soon(t), p.client, echo{text}); got != text || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
	}
}

func whoIsIt(t *testing.T, p *pair) {
	if got, err := cmdstream.Do(soon(t), p.client, who{}); got != p.place.name || err != nil {
		t.Errorf("the server sees %q, %v, want %q", got, err, p.place.name)
	}
}

// Through a channel, as the command form does it.
func severalResults(t *testing.T, p *pair) {
	results := make(chan base.AsyncResult, 3)
	seq, err := p.client.Send(countCmd{Cmd: count{20}}, results)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 21; n++ {
		want := base.AsyncResult{Seq: seq, Result: base.Item[int]{V: n}}
		if n == 21 {
			want.Result = base.End{}
		}
		if result := receive(t, results); result != want {
			t.Fatalf("result %d is %v, want %v", n, result, want)
		}
	}
}

func stream(t *testing.T, p *pair) {
	want := 1
	for n, err := range cmdstream.Results(soon(t), p.client, count{1000}) {
		if n != want || err != nil {
			t.Fatalf("got %d, %v, want %d", n, err, want)
		}
		want++
	}
	if want != 1001 {
		t.Errorf("the stream ended after %d results", want-1)
	}
}

// On the plain wire an error closes the connection: that is all the client learns.
func failure(t *testing.T, p *pair) {
	_, err := cmdstream.Do(soon(t), p.client, fail{"as  it was"})
	if p.framed {
		if err == nil || err.Error() != "as  it was" || base.OutcomeOf(err) != base.Failed || !errors.Is(err, base.ErrExec) {
			t.Errorf("it failed with %v (%v)", err, base.OutcomeOf(err))
		}
	} else if !errors.Is(err, base.ErrConnLost) || base.OutcomeOf(err) != base.Unknown {
		t.Errorf("it failed with %v (%v)", err, base.OutcomeOf(err))
	}
	if got, err := cmdstream.Do(soon(t), p.client, echo{"goes on"}); got != "goes on" || err != nil {
		t.Errorf("after the error: %q, %v", got, err)
	}
}

// A large body goes both ways, and small ones beside it.
func large(t *testing.T, p *pair) {
	text := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		if got, err := cmdstream.Do(soon(t), p.client, echo{text}); got != text || err != nil {
			t.Errorf("got %d bytes, %v, equal: %v", len(got), err, got == text)
		}
	})
	for i := range 20 {
		small := fmt.Sprint("small ", i)
		if got, err := cmdstream.Do(soon(t), p.client, echo{small}); got != small || err != nil {
			t.Errorf("beside the large one: got %q, %v, want %q", got, err, small)
		}
	}
}

func many(t *testing.T, p *pair) {
	const goroutines, each = 50, 20
	ctx := soon(t)
	var group sync.WaitGroup
	defer group.Wait()
	for i := range goroutines {
		group.Go(func() {
			for j := range each {
				text := fmt.Sprintf("%d/%d %s", i, j, strings.Repeat("x", i*j))
				if got, err := cmdstream.Do(ctx, p.client, echo{text}); got != text || err != nil {
					t.Errorf("got %.20q…, %v, want %.20q…", got, err, text)
					return
				}
			}
		})
	}
}
