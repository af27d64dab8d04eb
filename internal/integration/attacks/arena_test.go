package attacks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// mode is how an attack is mounted.
type mode int

const (
	limited  mode = iota // the limits are as the row says
	lifted               // they are lifted
	draining             // the server is shut down in the middle
)

const (
	// slowest is how long a neighbour's command may take, in simulated time: what
	// hinders it makes it wait for a limit, all of which are longer.
	slowest = 10 * time.Millisecond
	// patience is how long an attack waits for its effect.
	patience = 400 * time.Millisecond
	// drainTime is the patience of Shutdown.
	drainTime = time.Second
	// settleTime lets all that has ended go.
	settleTime = 20 * time.Millisecond
	// heapSlack is how much more the heap may hold afterwards, in bytes.
	heapSlack = 2 << 20
)

var quiet = slog.New(slog.DiscardHandler)

// violation is what went wrong. missing is true where a counter did not count, or a user
// did not see the error; unmoved where they did although the limit was lifted.
type violation struct {
	text             string
	missing, unmoved bool
}

func (v violation) String() string { return v.text }

// arena is a server, two neighbours, and room for an attack.
type arena struct {
	t      *testing.T
	row    row
	mode   mode
	limits limits
	world  *world
	l      *memnet.Listener
	gate   *gate
	server *server.Server
	// judged is the server whose counters count.
	judged *server.Server

	shutdown chan time.Duration // how long Shutdown took
	halfway  int                // calls of middle

	mu         sync.Mutex // protects what follows
	after      []func()   // what ends the attack
	seen       map[side][]error
	violations []violation
	neighbours []*neighbour
	clients    []*client.Client[*world] // that the attack has made
}

// run mounts the attack, and returns what went wrong.
func (r row) run(t *testing.T, m mode) (violations []violation) {
	synctest.Test(t, func(t *testing.T) {
		a := &arena{t: t, row: r, mode: m, world: newWorld(), l: memnet.Listen(), seen: map[side][]error{}}
		if r.conf != nil {
			r.conf(&a.limits)
		}
		if m == lifted && r.lift != nil {
			r.lift(&a.limits)
		}
		a.gate = &gate{Listener: a.l}
		a.server = a.serve(a.gate, a.limits.server)
		a.judged = a.server
		a.run()
		violations = a.violations
	})
	return violations
}

// serve starts a server. What its user hears is seen.
func (a *arena) serve(l net.Listener, conf server.Conf[*world]) *server.Server {
	conf.Logger = slog.New(watcher{a})
	user := conf.LostConnCallback
	conf.LostConnCallback = func(addr net.Addr, err error) {
		a.saw(atServer, err)
		if user != nil {
			user(addr, err)
		}
	}
	s, err := server.New(serverCodec{a.limits.format, a.limits.anything}, a.world, conf)
	if err != nil {
		a.t.Fatal(err)
	}
	go s.Serve(l)
	return s
}

func (a *arena) run() {
	for range 2 {
		a.neighbours = append(a.neighbours, a.newNeighbour())
	}
	time.Sleep(settleTime)
	goroutines, heap := countGoroutines(), heapInUse()
	before := a.stats()

	a.row.attack(a)
	if a.halfway != 1 {
		a.fail("the attack has %d middles", a.halfway)
	}
	time.Sleep(settleTime)
	if a.mode == draining {
		a.expectShutdown() // with the attack still on
	} else {
		a.judge(before)
	}
	a.clean()
	close(a.world.stop)
	time.Sleep(settleTime)
	if now := countGoroutines(); now > goroutines {
		a.fail("there are %d goroutines, %d more than before", now, now-goroutines)
	}
	if now := heapInUse(); now > heap+heapSlack {
		a.fail("the heap holds %d KiB more than before", (now-heap)>>10)
	}
	for _, n := range a.neighbours {
		n.leave()
	}
	a.server.Close()
}

// expectShutdown waits for the end of Shutdown, which must come in time.
func (a *arena) expectShutdown() {
	select {
	case took := <-a.shutdown:
		if took > drainTime+closeTime {
			a.fail("Shutdown took %v, its ctx %v", took, drainTime)
		}
	case <-time.After(10 * drainTime):
		a.fail("Shutdown does not return")
		a.server.Close()
	}
}

// clean ends the attack, and lets go of what it has left.
func (a *arena) clean() {
	a.mu.Lock()
	after := a.after
	a.mu.Unlock()
	for _, end := range slices.Backward(after) {
		end()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.after, a.seen, a.clients = nil, map[side][]error{}, nil
}

// judge holds what has happened against the row.
func (a *arena) judge(before map[string]uint64) {
	now := a.stats()
	for _, counter := range a.row.counters {
		if now[counter] <= before[counter] {
			a.miss("%s did not count", counter)
		} else if a.lifted() && !slices.Contains(a.row.anyway, any(counter)) {
			a.note(violation{text: counter + " counts all the same", unmoved: true})
		}
	}
	a.mu.Lock()
	seen := map[side][]error{}
	for who, errs := range a.seen {
		seen[who] = slices.Clone(errs)
	}
	a.mu.Unlock()
	for _, sight := range a.row.sees {
		if !slices.ContainsFunc(seen[sight.who], sight.is) {
			a.miss("%s has not seen %q, but %q", sight.who, sight.err, few(seen[sight.who]))
		} else if a.lifted() && !slices.Contains(a.row.anyway, any(sight.err)) {
			a.note(violation{text: fmt.Sprintf("%s sees %q all the same", sight.who, sight.err), unmoved: true})
		}
	}
}

// is tells whether err is what is to be seen.
func (s sight) is(err error) bool {
	return errors.Is(err, s.err) && (s.who == atServer || base.OutcomeOf(err) == s.outcome)
}

// few is some of errs: each text once, and not too many.
func few(errs []error) (texts []string) {
	for _, err := range errs {
		if text := err.Error(); !slices.Contains(texts, text) && len(texts) < 5 {
			texts = append(texts, text)
		}
	}
	return texts
}

// stats are the numbers of a server's Stats, by their names.
func stats(s *server.Server) map[string]uint64 {
	numbers := map[string]uint64{}
	addFields(numbers, "", s.Stats())
	return numbers
}

// addFields adds the fields of some Stats to numbers, by their names.
func addFields(numbers map[string]uint64, prefix string, stats any) {
	v := reflect.ValueOf(stats)
	for i := range v.NumField() {
		if f := v.Field(i); f.CanUint() {
			numbers[prefix+v.Type().Field(i).Name] += f.Uint()
		} else {
			numbers[prefix+v.Type().Field(i).Name] += uint64(f.Int())
		}
	}
}

// ofClients is before the names of what is counted at the clients.
const ofClients = "client.Stats."

// stats are the numbers of the server that is judged, and, together, of all clients that the
// attack has made.
func (a *arena) stats() map[string]uint64 {
	numbers := stats(a.judged)
	a.mu.Lock()
	clients := slices.Clone(a.clients)
	a.mu.Unlock()
	for _, c := range clients {
		addFields(numbers, ofClients, c.Stats())
	}
	return numbers
}

// stat is one of the server's.
func (a *arena) stat(name string) uint64 { return stats(a.judged)[name] }

// made notes that the attack has made a client, or why it has not. The caller closes it.
func (a *arena) made(c *client.Client[*world], err error) {
	if a.saw(atClient, err); err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.clients = append(a.clients, c)
	}
}

// fail notes what must not be.
func (a *arena) fail(format string, args ...any) {
	a.note(violation{text: fmt.Sprintf(format, args...)})
}

// miss notes what should have happened, and did not.
func (a *arena) miss(format string, args ...any) {
	a.note(violation{text: fmt.Sprintf(format, args...), missing: true})
}

func (a *arena) note(v violation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.violations = append(a.violations, v)
}

// expect notes a violation unless ok: what an attack knows of its own effect. A server
// that is shut down meanwhile owes it nothing.
func (a *arena) expect(ok bool, format string, args ...any) {
	if !ok && a.mode != draining {
		a.miss(format, args...)
	}
}

// saw notes what a user has seen.
func (a *arena) saw(who side, err error) {
	if err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[who] = append(a.seen[who], err)
}

// lifted tells whether the attack shall keep within the rule.
func (a *arena) lifted() bool { return a.mode == lifted }

// atEnd has something done when the attack was judged.
func (a *arena) atEnd(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.after = append(a.after, f)
}

// until waits for something, for as long as patience lasts.
func (a *arena) until(what func() bool) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		synctest.Wait()
		if what() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// counted waits until a counter of the server's has reached n.
func (a *arena) counted(counter string, n uint64) {
	a.until(func() bool { return a.stat(counter) >= n })
}

// middle is called in the middle of an attack: the neighbours must go on, or the server
// is shut down.
func (a *arena) middle() {
	a.halfway++
	if a.mode == draining {
		a.shutdown = make(chan time.Duration, 1)
		begin := time.Now()
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), drainTime)
			defer cancel()
			a.server.Shutdown(ctx)
			a.shutdown <- time.Since(begin)
		}()
		time.Sleep(settleTime)
		return
	}
	var done []int
	for _, n := range a.neighbours {
		done = append(done, n.commands())
	}
	time.Sleep(settleTime)
	for i, n := range a.neighbours {
		if n.commands() == done[i] {
			a.fail("neighbour %d does not get on in the middle of the attack", i)
		}
	}
}

// closeTime is how long Close may take: half a second for commands that do not end, and
// as much for hellos.
const closeTime = 600 * time.Millisecond

// dialBare dials without TLS.
func (a *arena) dialBare() (net.Conn, error) { return a.l.Dial(context.Background()) }

// dial dials as a client does. The connection is closed in the end.
func (a *arena) dial(ctx context.Context) (net.Conn, error) {
	nc, err := a.l.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if a.limits.server.TLSConfig != nil {
		return tls.Client(nc, clientTLS()), nil
	}
	return nc, nil
}

// connect makes a client of one connection. The error is seen.
func (a *arena) connect(conf client.Conf) (*client.Client[*world], error) {
	nc, err := a.dial(context.Background())
	if err != nil {
		return nil, err
	}
	conf.Logger = quiet
	c, err := client.New(context.Background(), clientCodec{}, nc, conf)
	a.made(c, err)
	if err == nil {
		a.atEnd(func() { c.Close() })
	}
	return c, err
}

// reconnecting makes a client that reconnects, with a session if conf says so. Its
// changes of state are seen.
func (a *arena) reconnecting(dial client.Dialer, conf client.Conf) (*client.Client[*world], error) {
	conf.Logger = quiet
	conf.StateCallback = func(change client.StateChange) { a.saw(atState, change.Err) }
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.NewReconnect(ctx, clientCodec{}, dial, conf)
	a.made(c, err)
	if err == nil {
		a.atEnd(func() { c.Close() })
	}
	return c, err
}

// do does a command with a client, for as long as patience lasts. The error is seen.
func (a *arena) do(c *client.Client[*world], cmd command) error {
	return a.doWithin(patience, c, cmd)
}

func (a *arena) doWithin(within time.Duration, c *client.Client[*world], cmd command) error {
	if c == nil {
		return errNoClient
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := c.Do(ctx, cmd)
	a.saw(atClient, err)
	return err
}

// errNoClient is what commands get where a server that was shut down let no client in.
var errNoClient = &base.Error{Outcome: base.NotSent, Message: "there is no client"}

// start is do in a goroutine of its own.
func (a *arena) start(c *client.Client[*world], cmd command) <-chan error {
	done := make(chan error, 1)
	go func() { done <- a.do(c, cmd) }()
	synctest.Wait()
	return done
}

// watcher is a log whose errors are seen.
type watcher struct{ a *arena }

func (watcher) Enabled(context.Context, slog.Level) bool { return true }
func (w watcher) WithAttrs([]slog.Attr) slog.Handler     { return w }
func (w watcher) WithGroup(string) slog.Handler          { return w }

func (w watcher) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(attr slog.Attr) bool {
		if err, ok := attr.Value.Any().(error); ok {
			w.a.saw(atServer, err)
		}
		return true
	})
	return nil
}

// countGoroutines counts goroutines, but for those that a server's pool has parked.
func countGoroutines() int {
	synctest.Wait()
	return liveGoroutines()
}

func liveGoroutines() int {
	b := stacks
	n := 0
	for stack := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if !strings.Contains(stack, "(*Pool).work(") || strings.Contains(stack, ".lead(") {
			n++
		}
	}
	return n
}

// stacks is where countGoroutines looks.
var stacks = make([]byte, 4<<20)

// heapInUse is what is on the heap and reachable.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
