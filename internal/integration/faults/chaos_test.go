package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// TestChaos runs random programs under random faults. A seed fixes both, though not how
// goroutines take turns: SEED=n runs one, RERUN=100 so often, SEEDS=n so many.
func TestChaos(t *testing.T) {
	if seed := number("SEED", 0); seed > 0 {
		times, failed := int(number("RERUN", 1)), 0
		for range times {
			if p := runProgram(t, seed); len(p.faults) > 0 {
				if failed++; failed == 1 {
					p.report(t)
				}
			}
		}
		t.Logf("seed %d failed %d times of %d", seed, failed, times)
		return
	}
	var again atomic.Uint64 // the seed that has failed first
	defer func() {
		if seed := again.Load(); seed > 0 {
			rerun(t, seed, func() bool { return len(runProgram(t, seed).faults) > 0 })
		}
	}()
	first, count := uint64(time.Now().UnixNano())>>16, int(number("SEEDS", 40))
	if raced && os.Getenv("SEEDS") == "" {
		count = 12
	}
	seeds := make(chan uint64, count)
	for i := range uint64(count) {
		if i < 10 { // some are always the same
			seeds <- i + 1
		} else {
			seeds <- first + i
		}
	}
	close(seeds)
	var done atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range seeds {
				if p := runProgram(t, seed); len(p.faults) > 0 {
					p.report(t)
					again.CompareAndSwap(0, seed)
				}
				if n := done.Add(1); n%100 == 0 {
					fmt.Fprintf(os.Stderr, "%d of %d programs\n", n, count)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d programs, from seed %d on", count, first)
}

// rerun tells how often a seed that has failed does so.
func rerun(t *testing.T, seed uint64, fails func() bool) {
	const times = 100
	failed := 0
	for range times {
		if fails() {
			failed++
		}
	}
	t.Logf("seed %d failed %d times more of %d", seed, failed, times)
}

func number(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// program is a random program and what came of it.
type program struct {
	seed     uint64
	sessions bool
	restarts bool // servers end, and others take their place
	tight    bool // the server's limits are low
	packs    bool // bodies are compressed
	closes   bool // the client is closed in the middle
	net      *world
	client   *client.Client[*effects]
	next     atomic.Int64 // numbers commands

	mu       sync.Mutex // protects what follows
	outcomes map[int]base.Outcome
	again    map[int]bool // commands that may run twice
	bare     map[int]bool // commands that were sent without a ctx
	trace    []string
	faults   []string
}

// perProgram is how many goroutines send, and how many commands each.
const (
	callers           = 8
	commandsPerCaller = 25
)

func runProgram(t *testing.T, seed uint64) *program {
	p := &program{seed: seed, outcomes: map[int]base.Outcome{}, again: map[int]bool{}, bare: map[int]bool{}}
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 0))
		p.sessions, p.restarts = r.IntN(3) > 0, r.IntN(3) == 0
		p.tight, p.packs, p.closes = r.IntN(3) == 0, r.IntN(3) == 0, r.IntN(6) == 0
		p.net = newWorld(t, r.Uint64(), p.serverConf(), p.event)
		defer p.net.close()
		conf := client.Conf{
			Session: p.sessions, MaxInFlight: 20, Logger: quiet,
			KeepaliveTime: 50 * time.Millisecond, KeepaliveIntvl: 50 * time.Millisecond, SysDataReceiveTimeout: time.Second,
		}
		conf.StateCallback = func(s client.StateChange) { p.event("the client is %v: %v", s.State, s.Err) }
		if p.packs {
			conf.Compressions, conf.CompressAbove = []transport.Compression{flate.New(1)}, 100
		}
		p.client = p.net.client(conf)
		stop := make(chan struct{})
		var adversary, work sync.WaitGroup
		adversary.Go(func() { p.net.adversary(rand.New(rand.NewPCG(seed, 1)), p.restarts, stop) })
		for n := range callers {
			work.Go(func() { p.caller(rand.New(rand.NewPCG(seed, uint64(n)+2))) })
		}
		if p.closes {
			adversary.Go(func() {
				time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				p.close()
			})
		}
		finished := make(chan struct{})
		go func() {
			work.Wait()
			close(finished)
		}()
		select {
		case <-finished:
		case <-time.After(10 * time.Minute):
			p.wrong("it hangs")
		}
		close(stop)
		adversary.Wait()
		p.net.heal()
		p.end()
		<-finished
	})
	p.judge()
	return p
}

func (p *program) serverConf() (conf server.Conf[*effects]) {
	if p.tight {
		conf.MaxRunning, conf.MaxQueued, conf.MaxQueueTime = 4, 4, 50*time.Millisecond
		conf.MaxConnBytes, conf.MaxBytes = 300_000, 600_000
		conf.Sessions.MaxBytes, conf.Sessions.TotalBytes = 100_000, 200_000
	}
	if p.packs {
		conf.Compressions = []transport.Compression{flate.New(1)}
	}
	return conf
}

// close closes the client, which ends all its commands.
func (p *program) close() {
	p.event("the client is closed")
	begin := time.Now()
	p.client.Close()
	if took := time.Since(begin); took > time.Second {
		p.wrong("Close took %v", took)
	}
}

// end closes all, having seen that no slot is lost.
func (p *program) end() {
	var all sync.WaitGroup
	for range 20 { // as many as may be in flight
		if p.closes {
			break
		}
		all.Go(p.last)
	}
	all.Wait()
	p.close()
	time.Sleep(2 * time.Minute) // no session is kept for so long
	if s := p.net.server().Stats(); s.Running != 0 || s.Queued != 0 || s.Bytes != 0 || s.KeptBytes != 0 || s.Sessions != 0 {
		p.wrong("the server is left with %+v", s)
	}
}

// withoutCtx notes that a command is sent without a ctx, and so without metadata.
func (p *program) withoutCtx(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bare[number] = true
}

// last is a command for which there must be a slot; a server that is full may want it to
// come again.
func (p *program) last() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		number := int(p.next.Add(1))
		p.withoutCtx(number) // it has one, with nothing in it
		r, err := p.client.Do(ctx, command{Op: echo, Number: number})
		if p.tight && errors.Is(err, base.ErrBusy) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil || r.(result).N != number {
			p.wrong("at the end: %v, %v", r, err)
		}
		return
	}
}

func (p *program) wrong(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// event adds to the trace, of which the end is kept.
func (p *program) event(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trace = append(p.trace, fmt.Sprintf("%v ", time.Now().Format("04:05.000000"))+fmt.Sprintf(format, args...))
	if len(p.trace) > 400 {
		p.trace = p.trace[200:]
	}
}

func (p *program) report(t *testing.T) {
	for _, fault := range p.faults {
		t.Errorf("seed %d: %s", p.seed, fault)
	}
	for _, event := range p.trace {
		t.Log(event)
	}
	t.Logf("again: SEED=%d RERUN=100 go test ./internal/integration/faults -run TestChaos -v", p.seed)
}

// caller sends random commands, one after another.
func (p *program) caller(r *rand.Rand) {
	for range commandsPerCaller {
		if r.IntN(4) == 0 {
			time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		}
		number := int(p.next.Add(1))
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if labeled(number) {
			ctx = base.WithMetadata(ctx, base.Metadata{"number": {strconv.Itoa(number)}})
		}
		if r.IntN(5) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(20_000))*time.Microsecond)
		}
		kinds := []func(context.Context, *rand.Rand, int) error{p.echo, p.echo, p.large, p.stream, p.send, p.talk, p.fail, p.wait, p.insist}
		kind := r.IntN(len(kinds))
		p.event("command %d, of kind %d, begins", number, kind)
		err := kinds[kind](ctx, r, number)
		p.event("command %d: %v", number, err)
		p.told(ctx, number, err)
		cancel()
	}
}

// told notes what a caller was told of its command.
func (p *program) told(ctx context.Context, number int, err error) {
	outcome := base.OutcomeOf(err)
	if outcome == base.NotSent && !errors.Is(err, base.ErrDeadline) && !p.closes {
		p.wrong("command %d was not sent, though there is all the time: %v", number, err)
	}
	if errors.Is(err, base.ErrDecode) {
		p.wrong("command %d did not come as it was sent: %v", number, err)
	}
	if outcome == base.Unknown && p.sessions && !p.restarts && ctx.Err() == nil && !errors.Is(err, errLeft) && !(p.closes && errors.Is(err, base.ErrClosed)) {
		p.wrong("command %d in a session that was not lost: %v", number, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomes[number] = outcome
}

// errLeft is of a command that the program itself has left.
var errLeft = errors.New("left")

func (p *program) echo(ctx context.Context, r *rand.Rand, number int) error {
	var cmd base.Cmd[*effects] = command{Op: echo, Number: number}
	if r.IntN(3) == 0 {
		p.mu.Lock()
		p.again[number] = true
		p.mu.Unlock()
		cmd = harmless{command{Op: echo, Number: number}}
	}
	got, err := p.client.Do(ctx, cmd)
	if err == nil && got.(result).N != number {
		p.wrong("command %d got the result of command %d", number, got.(result).N)
	}
	return err
}

// insist sends a command that may run twice, and has little time for that.
func (p *program) insist(ctx context.Context, r *rand.Rand, number int) error {
	p.mu.Lock()
	p.again[number] = true
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(60))*time.Millisecond)
	defer cancel()
	_, err := p.client.Do(ctx, harmless{command{Op: dally, Number: number, N: r.IntN(20)}})
	if base.OutcomeOf(err) == base.Unknown {
		return errLeft
	}
	return err
}

func (p *program) large(ctx context.Context, r *rand.Rand, number int) error {
	body := pattern(r.IntN(200_000))
	clear(body[len(body)/2:]) // it can be compressed
	got, err := p.client.Do(ctx, command{Op: echo, Number: number, Body: body})
	if err == nil && (got.(result).N != number || !bytes.Equal(got.(result).Body, body)) {
		p.wrong("large command %d: %d bytes became %d", number, len(body), len(got.(result).Body))
	}
	return err
}

func (p *program) stream(ctx context.Context, r *rand.Rand, number int) error {
	n, next := 1+r.IntN(200), 1
	var cmd base.Cmd[*effects] = command{Op: count, Number: number, N: n}
	if r.IntN(2) == 0 {
		p.mu.Lock()
		p.again[number] = true
		p.mu.Unlock()
		cmd = harmless{command{Op: count, Number: number, N: n}}
	}
	for got, err := range p.client.Results(ctx, cmd) {
		if err != nil {
			return err
		}
		if got.(result).N != next {
			p.wrong("result %d of command %d is %d", next, number, got.(result).N)
		}
		next++
		if r.IntN(300) == 0 {
			return errLeft
		}
		if r.IntN(20) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if next != n+1 {
		p.wrong("command %d ended after %d results of %d", number, next-1, n)
	}
	return nil
}

func (p *program) send(_ context.Context, r *rand.Rand, number int) error {
	p.withoutCtx(number)
	n := 1 + r.IntN(30)
	results := make(chan base.AsyncResult, r.IntN(5))
	seq, err := p.client.Send(command{Op: count, Number: number, N: n}, results)
	if err != nil {
		return err
	}
	for next := 1; ; next++ {
		if r.IntN(10) == 0 {
			time.Sleep(time.Millisecond)
		}
		got := <-results
		switch {
		case got.Seq != seq:
			p.wrong("command %d has the seq %d, and a result of %d", number, seq, got.Seq)
		case got.Err != nil:
			return got.Err
		case got.Result.(result).N != next:
			p.wrong("result %d of command %d is %d", next, number, got.Result.(result).N)
		case got.Result.LastOne():
			if next != n {
				p.wrong("command %d ended after %d results of %d", number, next, n)
			}
			return nil
		}
		if r.IntN(200) == 0 {
			p.client.Forget(seq)
			return errLeft
		}
	}
}

// talk sends inputs, and takes a sum for each.
func (p *program) talk(ctx context.Context, r *rand.Rand, number int) error {
	call, err := p.client.Open(ctx, command{Op: sum, Number: number})
	if err != nil {
		return err
	}
	defer call.Close()
	n := 1 + r.IntN(40)
	go func() {
		for i := range n {
			if call.Send(i+1) != nil {
				return // Receive tells why
			}
		}
		call.CloseSend()
	}()
	for i, total := 1, 0; ; i++ {
		got, err := call.Receive()
		if err != nil {
			return err
		}
		if i <= n {
			total += i
		}
		if v := got.(result); v.N != total || v.Last != (i == n+1) {
			p.wrong("result %d of command %d is %+v, want %d", i, number, v, total)
		}
		if got.LastOne() {
			if _, err := call.Receive(); err != io.EOF {
				p.wrong("command %d after its end: %v", number, err)
			}
			return nil
		}
		if r.IntN(200) == 0 {
			return errLeft
		}
	}
}

func (p *program) fail(ctx context.Context, r *rand.Rand, number int) error {
	_, err := p.client.Do(ctx, command{Op: []op{fail, explode, shed}[r.IntN(3)], Number: number})
	if err == nil {
		p.wrong("command %d succeeded", number)
	}
	return err
}

// wait is given up in the end.
func (p *program) wait(ctx context.Context, r *rand.Rand, number int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(50))*time.Millisecond)
	defer cancel()
	_, err := p.client.Do(ctx, command{Op: block, Number: number})
	if base.OutcomeOf(err) == base.Unknown {
		return errLeft
	}
	return err
}

// judge compares what callers were told with what the commands have done.
func (p *program) judge() {
	e := p.net.effects
	for number, label := range e.labels {
		want := ""
		if labeled(number) && !p.bare[number] {
			want = strconv.Itoa(number)
		}
		if label != want {
			p.wrong("command %d came with the metadata %q", number, label)
		}
	}
	for number, outcome := range p.outcomes {
		n := e.starts[number]
		switch {
		case (outcome == base.NotSent || outcome == base.Rejected) && n > 0:
			p.wrong("command %d is told to be %v, and has run", number, outcome)
		case (outcome == base.Succeeded || outcome == base.Failed) && n == 0:
			p.wrong("command %d is told to be %v, and has not run", number, outcome)
		case n > 1 && !p.again[number]:
			p.wrong("command %d has run %d times", number, n)
		}
	}
	for number, inputs := range e.inputs {
		for i, input := range inputs {
			if input != i+1 {
				p.wrong("input %d of command %d is %d", i+1, number, input)
				break
			}
		}
	}
}

// labeled tells whether a command carries metadata.
func labeled(number int) bool { return number%4 == 0 }

// harmless is a command that may run twice.
type harmless struct{ command }

func (harmless) Idempotent() bool { return true }
