package debug

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// A kind is what is counted of a type of commands, at one side.
type kind struct {
	name, side string

	inFlight  atomic.Int64
	succeeded atomic.Uint64
	failed    atomic.Uint64
	took      histogram
	ended     rate
	failing   rate

	mu       sync.Mutex    // protects failures
	failures []FailureInfo // a ring, once there are MaxFailures
	next     int           // where the next one goes
}

// kinds are those of one side. A peer can't make more of them than there are types, and
// a program with more than MaxTypes has the rest counted together.
type kinds struct {
	side   string
	byType atomic.Pointer[map[reflect.Type]*kind] // replaced when a type comes for the first time
	other  kind

	mu     sync.Mutex       // protects what follows, and the replacing of byType
	byName map[string]*kind // of two types with the same name, such as both forms of a command, there is one kind
}

func (k *kinds) init(side string) {
	k.side = side
	k.byType.Store(&map[reflect.Type]*kind{})
	k.byName = make(map[string]*kind)
	k.other.name, k.other.side = Other, side
}

// of returns the kind of a command. It takes a lock only for the first one of its type.
func (k *kinds) of(cmd any) *kind {
	t := reflect.TypeOf(cmd)
	if found := (*k.byType.Load())[t]; found != nil {
		return found
	}
	return k.add(t, nameOf(cmd))
}

func (k *kinds) add(t reflect.Type, name string) *kind {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := *k.byType.Load()
	switch {
	case before[t] != nil:
		return before[t]
	case len(before) >= MaxTypes:
		return &k.other
	}
	added := k.byName[name]
	if added == nil {
		added = &kind{name: name, side: k.side}
		k.byName[name] = added
	}
	after := maps.Clone(before)
	after[t] = added
	k.byType.Store(&after)
	return added
}

// all returns the kinds in any order.
func (k *kinds) all() []*kind {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*kind
	for _, one := range k.byName {
		all = append(all, one)
	}
	if k.other.inFlight.Load() != 0 || k.other.succeeded.Load()+k.other.failed.Load() != 0 {
		all = append(all, &k.other)
	}
	return all
}

// nameOf is base.NameOf, cut, and for anything: the method of a nil pointer may panic.
func nameOf(cmd any) (name string) {
	defer func() {
		if recover() != nil {
			name = fmt.Sprintf("%T", cmd)
		}
		if name == "" {
			name = "(nil)"
		}
		name = cut(name)
	}()
	return base.NameOf(cmd)
}

// fail keeps a failure.
func (k *kind) fail(at time.Time, err error, seq base.Seq, from remote) {
	f := k.describe(err)
	f.Time, f.Remote, f.Seq = at, from.String(), int64(seq)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.failures) < MaxFailures {
		k.failures = append(k.failures, f)
		return
	}
	k.failures[k.next] = f
	k.next = (k.next + 1) % MaxFailures
}

// describe says what an error says. Its methods are the user's, and may panic.
func (k *kind) describe(err error) (f FailureInfo) {
	f.Outcome = base.Unknown.String()
	if k.side == ServerSide { // it has run: so the client is told, too
		f.Outcome, f.Code = base.Failed.String(), string(base.ErrExec)
	}
	f.Text = cut(textOf(err))
	defer func() { recover() }()
	var e *base.Error
	if errors.As(err, &e) && e != nil {
		f.Outcome, f.Code = e.Outcome.String(), cut(string(e.Code))
	}
	return f
}

// textOf is err.Error(), unless that panics.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("an error of type %T, whose Error panicked", err)
		}
	}()
	return err.Error()
}

// cut returns text, or what fits into MaxText bytes of it, in memory of its own.
func cut(text string) string {
	if len(text) > MaxText {
		const dots = "…"
		text = strings.ToValidUTF8(text[:MaxText-len(dots)], "") + dots
	}
	return strings.Clone(strings.ToValidUTF8(text, "\uFFFD"))
}

// info returns what the kind has counted, until a second.
func (k *kind) info(second int64) CommandInfo {
	info := CommandInfo{
		Name: k.name, Side: k.side, InFlight: k.inFlight.Load(), Succeeded: k.succeeded.Load(), Failed: k.failed.Load(),
		PerSecond: k.ended.last(second), FailedPerSecond: k.failing.last(second),
		Latency: k.took.latency(), Failures: []FailureInfo{},
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.failures {
		newest := k.next + len(k.failures) - 1
		info.Failures = append(info.Failures, k.failures[(newest-i)%len(k.failures)])
	}
	return info
}
