package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/gen/store"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/cbor"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

// The suite knows nothing of where the store is.
func TestLocal(t *testing.T) {
	m := store.NewMemory()
	suite(t, m, m.Left)
}

func TestRemote(t *testing.T) {
	for name, format := range map[string]codec.Format{"JSON": json.Format{}, "CBOR": cbor.Format{}} {
		t.Run(name, func(t *testing.T) {
			m := store.NewMemory()
			suite(t, remote(t, m, format), m.Left)
		})
	}
}

func TestRemoteOverTCP(t *testing.T) {
	m := store.NewMemory()
	c := dial(t, store.StoreCommands(json.Format{}).Client(), serve(t, store.StoreCommands(json.Format{}), m))
	suite(t, store.NewStoreClient(c), m.Left)
}

// Who does not know the commands may run them, too, where the server lets them.
func TestByName(t *testing.T) {
	m, set := store.NewMemory(), store.StoreCommands(json.Format{})
	if _, _, err := m.Save(t.Context(), &ann); err != nil {
		t.Fatal(err)
	}
	set.Reflect()
	c := dial(t, reflection.NewCodec(), serve(t, set, m))
	description, err := reflection.Describe(t.Context(), c)
	if err != nil || len(description.Commands) != 14 || description.Commands[6].Name != "Store.Rename" {
		t.Fatalf("it describes %+v, %v", description, err)
	}
	for result, err := range reflection.Call(t.Context(), c, "Store.Rename", []byte(`{"P1": 1, "P2": "anna"}`)) {
		if string(result) != "{}" || err != nil {
			t.Errorf("got %s, %v", result, err)
		}
	}
	if user, err := m.Get(t.Context(), 1); user.Name != "anna" || err != nil {
		t.Errorf("the user is %v, %v", user, err)
	}
}

// serve serves the store, and returns the address.
func serve(t *testing.T, set *codec.Set[store.Store], s store.Store) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving := server.NewDef(set.Server(), s)
	var done sync.WaitGroup
	done.Go(func() { serving.Serve(listener) })
	t.Cleanup(func() {
		serving.Close()
		done.Wait()
	})
	return listener.Addr().String()
}

func dial[T any](t *testing.T, codec client.Codec[T], addr string) *client.Client[T] {
	t.Helper()
	c, err := client.NewReconnect(t.Context(), codec, client.TCP(addr), client.Conf{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// With a session the suite does not notice that the connection is cut, again and again.
func TestRemoteOverASession(t *testing.T) {
	m, set := store.NewMemory(), store.StoreCommands(json.Format{})
	n := cmdstreamtest.NewReconnect[store.Store](t, set.Client(), set.Server(), m, cmdstreamtest.Conf[store.Store]{Client: client.Conf{Session: true}})
	var calls atomic.Int64
	var cuts sync.WaitGroup
	cut := func() {
		if calls.Add(1)%7 == 1 {
			cuts.Go(func() {
				time.Sleep(100 * time.Microsecond) // the command is on its way by then, or running
				n.Cut()
			})
		}
	}
	cutting := func(next cmdstream.Client[store.Store]) cmdstream.Client[store.Store] {
		return cmdstream.Calls[store.Store]{
			DoFunc: func(ctx context.Context, cmd base.Cmd[store.Store]) (base.Result, error) {
				cut()
				return next.Do(ctx, cmd)
			},
			ResultsFunc: func(ctx context.Context, cmd base.Cmd[store.Store]) iter.Seq2[base.Result, error] {
				cut()
				return next.Results(ctx, cmd)
			},
		}
	}
	suite(t, store.NewStoreClient(cmdstream.Use(n.Client, cutting)), m.Left)
	cuts.Wait()
}

func remote(t testing.TB, receiver store.Store, format codec.Format) store.Store {
	return store.NewStoreClient(cmdstreamtest.New(t, store.StoreCommands(format).Client(), store.StoreCommands(format).Server(), receiver))
}

var (
	born = time.Date(1999, 12, 31, 23, 59, 59, 123456789, time.UTC)
	ann  = store.User{Name: "ann", Born: born, Labels: map[string][]string{"a": {"b"}, "empty": {}, "nil": nil}, Photo: []byte{0, 255}}
	bob  = store.User{Name: "bob", Born: born, Manager: &store.User{Name: "ann"}}
)

func suite(t *testing.T, s store.Store, left <-chan struct{}) {
	ctx := t.Context()
	if id, created, err := s.Save(ctx, &ann); id != 1 || !created || err != nil {
		t.Fatalf("Save: %v, %v, %v", id, created, err)
	}
	if id, created, err := s.Save(ctx, &bob); id != 2 || !created || err != nil {
		t.Fatalf("Save: %v, %v, %v", id, created, err)
	}
	if id, created, err := s.Save(ctx, nil); id != 0 || created || err != nil {
		t.Errorf("Save of nil: %v, %v, %v", id, created, err)
	}
	saved := bob
	saved.ID = 2
	if id, created, err := s.Save(ctx, &saved); id != 2 || created || err != nil {
		t.Errorf("Save again: %v, %v, %v", id, created, err)
	}
	want := ann
	want.ID = 1
	if user, err := s.Get(ctx, 1); err != nil || !reflect.DeepEqual(user, want) {
		t.Errorf("Get: %+v, %v", user, err)
	}
	if user, err := s.Get(ctx, 7); !errors.Is(err, store.ErrNotFound) || err.Error() != "user 7: no such user" || !reflect.DeepEqual(user, store.User{}) {
		t.Errorf("Get of nobody: %+v, %v", user, err)
	}
	if n, err := s.Count(ctx); n != 2 || err != nil {
		t.Errorf("Count: %v, %v", n, err)
	}
	if err := s.Rename(ctx, 2, "anton"); err != nil {
		t.Errorf("Rename: %v", err)
	}
	if err := s.Rename(ctx, 7, "anton"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Rename of nobody: %v", err)
	}
	if err := s.Ping(); err != nil {
		t.Errorf("Ping: %v", err)
	}
	t.Run("nothing and empty", func(t *testing.T) { nothing(t, s) })
	t.Run("iterators", func(t *testing.T) { iterators(t, s, left) })
	t.Run("errors", func(t *testing.T) { failures(t, s) })
	t.Run("many goroutines", func(t *testing.T) { goroutines(t, s) })

	if err := s.Delete(ctx); err == nil || err.Error() != "nothing to delete" {
		t.Errorf("Delete of none: %v", err)
	}
	if err := s.Delete(ctx, 1, 2, 3); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if n, err := s.Count(ctx); n != 0 || err != nil {
		t.Errorf("Count after Delete: %v, %v", n, err)
	}
}

// Nil stays nil, and what is empty stays empty.
func nothing(t *testing.T, s store.Store) {
	ctx := t.Context()
	tags, numbers, at, err := s.Tags(ctx, 0)
	if tags != nil || numbers != nil || at != nil || err != nil {
		t.Errorf("Tags 0: %#v, %#v, %v, %v", tags, numbers, at, err)
	}
	tags, numbers, at, err = s.Tags(ctx, 1)
	if tags == nil || len(tags) > 0 || numbers == nil || len(numbers) > 0 || at == nil || at.Unix() != 0 || err != nil {
		t.Errorf("Tags 1: %#v, %#v, %v, %v", tags, numbers, at, err)
	}
	tags, numbers, at, err = s.Tags(ctx, 2)
	if !reflect.DeepEqual(tags, []string{"a"}) || numbers["a"] != 2 || !at.Equal(time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC)) || err != nil {
		t.Errorf("Tags 2: %#v, %#v, %v, %v", tags, numbers, at, err)
	}
	page, err := s.Page(ctx, store.Page[store.User]{Items: []store.User{{}, {ID: 3}}, Next: "n"})
	if err != nil || len(page.Items) != 2 || page.Items[0] != nil || page.Items[1].ID != 3 || page.Next != "n" {
		t.Errorf("Page: %+v, %v", page, err)
	}
	if page, err := s.Page(ctx, store.Page[store.User]{}); err != nil || page.Items != nil {
		t.Errorf("Page of nothing: %+v, %v", page, err)
	}
	for _, value := range []any{nil, "text", true, 1.5} {
		if got, err := s.Any(ctx, value); err != nil || got != value {
			t.Errorf("Any of %v: %v, %v", value, got, err)
		}
	}
}

func iterators(t *testing.T, s store.Store, left <-chan struct{}) {
	ctx := t.Context()
	names := func(q store.Query) (names []string, err error) {
		for user, failure := range s.List(ctx, q) {
			if err != nil {
				t.Errorf("%v follows the error", user)
			}
			if err = failure; err == nil {
				names = append(names, user.Name)
			}
		}
		return names, err
	}
	if got, err := names(store.Query{}); err != nil || !reflect.DeepEqual(got, []string{"ann", "anton"}) {
		t.Errorf("List: %v, %v", got, err)
	}
	if got, err := names(store.Query{Prefix: "x"}); err != nil || got != nil {
		t.Errorf("List of nobody: %v, %v", got, err)
	}
	got, err := names(store.Query{Prefix: "ant", Fail: "locked"})
	if !reflect.DeepEqual(got, []string{"anton"}) || err == nil || err.Error() != "at this time:\nthe store is locked" {
		t.Errorf("List that fails: %v, %v", got, err)
	}
	if _, err := names(store.Query{Prefix: "x", Fail: "not found"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("List that fails at once: %v", err)
	}

	// An iterator may be used twice, and left early, which ends the loop of the store.
	all := s.List(ctx, store.Query{})
	for range 2 {
		for user, err := range all {
			if user.Name != "ann" || err != nil {
				t.Errorf("List: %v, %v", user, err)
			}
			break
		}
	}

	n := 0
	for page, err := range s.Pages(ctx, 300, []byte("photo")) {
		if n++; err != nil || string(page.Items[0].Photo) != "photo" || page.Next != store.Cursor(fmt.Sprint(n)) {
			t.Fatalf("Pages: %v, %v", page, err)
		}
	}
	if n != 300 {
		t.Errorf("%d pages", n)
	}
	for len(left) > 0 {
		<-left
	}
}

func failures(t *testing.T, s store.Store) {
	ctx := t.Context()
	for how, want := range map[string]struct {
		text string
		is   []error
	}{
		"not found": {"no such user", []error{store.ErrNotFound}},
		"locked":    {"at this time:\nthe store is locked", []error{store.Locked}},
		"both":      {"no such user\nthe store is locked", []error{store.ErrNotFound, store.Locked}},
		"text":      {"some text", []error{store.ErrText}},
		"quota":     {"saving: 3 of 3 are used", nil},
		"deadline":  {"the disk: context deadline exceeded", []error{context.DeadlineExceeded}},
		"empty":     {"", nil},
		"cause":     {"because of no such user", []error{store.ErrNotFound}},
		"ünlike":    {"ünlike", nil},
	} {
		err := s.Fail(ctx, how)
		if err == nil || err.Error() != want.text {
			t.Errorf("%s: %v, want the text %q", how, err, want.text)
		}
		for _, other := range []error{store.ErrNotFound, store.Locked, store.ErrText, context.Canceled, context.DeadlineExceeded} {
			is := false
			for _, one := range want.is {
				is = is || one == other
			}
			if errors.Is(err, other) != is {
				t.Errorf("%s: errors.Is(%v) is %v", how, other, !is)
			}
		}
		quota, is := errors.AsType[*store.QuotaError](err)
		if is != (how == "quota") || is && *quota != (store.QuotaError{Limit: 3, Used: 3}) {
			t.Errorf("%s: it has the quota %v", how, quota)
		}
	}
}

func goroutines(t *testing.T, s store.Store) {
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if user, err := s.Get(t.Context(), 1); user.ID != 1 || err != nil {
				t.Errorf("Get: %v, %v", user, err)
			}
			if _, err := s.Get(t.Context(), 100+i); !errors.Is(err, store.ErrNotFound) || err.Error() != fmt.Sprintf("user %d: no such user", 100+i) {
				t.Errorf("Get of nobody: %v", err)
			}
		})
	}
	all.Wait()
}

// What the library has to say of a remote error is there, too.
func TestARemoteErrorIsTheLibrarys(t *testing.T) {
	s := remote(t, store.NewMemory(), json.Format{})
	for how, code := range map[string]base.Code{
		"not found": "store.ErrNotFound",
		"both":      "store.ErrNotFound,errLocked",
		"quota":     "store.*QuotaError{}",
		"deadline":  base.ErrDeadline,
		"empty":     base.ErrExec,
		"other":     base.ErrExec,
	} {
		err := s.Fail(t.Context(), how)
		e, ok := errors.AsType[*base.Error](err)
		if !ok || base.OutcomeOf(err) != base.Failed || e.Code != code || !e.Remote || !errors.Is(err, code) || e.Seq == 0 || e.Message != err.Error() {
			t.Errorf("%s: %#v", how, e)
		}
	}
	if err := s.Fail(t.Context(), "cause"); errors.As(err, new(store.CauseError)) {
		t.Errorf("an error type that can't travel has: %v", err)
	}
}

func TestAPanicIsAnError(t *testing.T) {
	set := store.StoreCommands(json.Format{})
	told := make(chan handler.Panic, 1)
	s := store.NewStoreClient(cmdstreamtest.New[store.Store](t, set.Client(), set.Server(), store.NewMemory(), cmdstreamtest.Conf[store.Store]{
		Server: server.Conf[store.Store]{OnPanic: func(p handler.Panic) { told <- p }},
	}))
	_, err := s.Panic(t.Context())
	if !errors.Is(err, base.ErrPanic) || base.OutcomeOf(err) != base.Failed || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v", err)
	}
	if p := <-told; p.Cmd != "Store.Panic" || p.Value != "out of order" {
		t.Errorf("the server heard of %v in %s", p.Value, p.Cmd)
	}
	if err := s.Ping(); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// Leaving a loop early ends that of the implementation.
func TestLeavingALoop(t *testing.T) {
	m := store.NewMemory()
	s := remote(t, m, json.Format{})
	for range 1000 {
		if _, _, err := m.Save(t.Context(), &ann); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range s.List(t.Context(), store.Query{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	select {
	case <-m.Left:
	case <-time.After(10 * time.Second):
		t.Error("the implementation's loop goes on")
	}
}

// A ctx ends a call wherever the store is, and the error says so.
func TestCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory()
		for _, s := range []store.Store{m, remote(t, m, json.Format{})} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%T: got %v", s, err)
			}
			cancel()
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if err := s.Wait(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%T: got %v", s, err)
			}
		}
	})
}

// What does not come from the implementation stays the library's.
func TestALostConnection(t *testing.T) {
	n := cmdstreamtest.NewReconnect[store.Store](t, store.StoreCommands(json.Format{}).Client(), store.StoreCommands(json.Format{}).Server(), store.NewMemory())
	s := store.NewStoreClient(n.Client)
	if err := s.Ping(); err != nil {
		t.Fatal(err)
	}
	n.Client.Close()
	err := s.Ping()
	if !errors.Is(err, base.ErrClosed) || base.OutcomeOf(err) != base.NotSent {
		t.Errorf("got %v", err)
	}
	for _, err := range s.List(t.Context(), store.Query{}) {
		if !errors.Is(err, base.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

// Middleware at the server finds the implementation's own errors, and what middleware at
// the client makes of one stays.
func TestMiddleware(t *testing.T) {
	var seen error
	set := store.StoreCommands(json.Format{})
	conn := cmdstreamtest.New[store.Store](t, set.Client(), set.Server(), store.NewMemory(), cmdstreamtest.Conf[store.Store]{
		Server: server.Conf[store.Store]{Use: []handler.Middleware[store.Store]{
			func(next handler.Invoker[store.Store]) handler.Invoker[store.Store] {
				return handler.InvokerFunc[store.Store](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[store.Store], proxy base.Proxy) error {
					seen = next.Invoke(ctx, at, seq, cmd, proxy)
					return seen
				})
			},
		}},
	})
	s := store.NewStoreClient(cmdstream.Use(conn, func(next cmdstream.Client[store.Store]) cmdstream.Client[store.Store] {
		return cmdstream.Calls[store.Store]{DoFunc: func(ctx context.Context, cmd base.Cmd[store.Store]) (base.Result, error) {
			result, err := next.Do(ctx, cmd)
			if err != nil {
				err = fmt.Errorf("tried once: %w", err)
			}
			return result, err
		}}
	}))
	err := s.Fail(t.Context(), "locked")
	if !errors.Is(err, store.Locked) || base.OutcomeOf(err) != base.Failed || err.Error() != "tried once: at this time:\nthe store is locked" {
		t.Errorf("the client got %v", err)
	}
	if !errors.Is(seen, store.Locked) || base.OutcomeOf(seen) != base.Failed || seen.Error() != "at this time:\nthe store is locked" {
		t.Errorf("the server's middleware got %v", seen)
	}
	err = s.Fail(t.Context(), "quota")
	if quota, is := errors.AsType[*store.QuotaError](err); !is || quota.Limit != 3 || err.Error() != "tried once: saving: 3 of 3 are used" {
		t.Errorf("the client got %v", err)
	}
	if !errors.As(seen, new(*store.QuotaError)) {
		t.Errorf("the server's middleware got %v", seen)
	}
}
