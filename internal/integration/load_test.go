package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// loadConf is callers that keep a client busy, each with one command after the other
// and hardly a pause.
type loadConf struct {
	Addr      string
	Session   bool
	From      int           // the first number
	Callers   int           // 0: 16
	Slow      time.Duration // how long a command takes at most before its entry, and then again; 0: 2 ms
	Size      int           // of what is told of each entry, in bytes; above 0 there are streams only
	Buffer    int           // of its socket, each way, in bytes; 0: the system's
	Keepalive time.Duration
}

// report is how a command ended, whose entries are those of the given numbers.
type report struct {
	From, To int
	Outcome  base.Outcome  `json:",omitempty"`
	Codes    []base.Code   `json:",omitempty"` // those of interest that errors.Is finds
	ID       base.ID       `json:",omitzero"`
	Error    string        `json:",omitempty"`
	Took     time.Duration `json:",omitempty"`
	Hung     bool          `json:",omitempty"` // it took longer than anything may
}

// hangTime is longer than any command may take, whatever is done to its client or
// server here.
const hangTime = 20 * time.Second

// run is the load, until stop is closed. It calls tell for each command.
func (conf loadConf) run(stop <-chan struct{}, tell func(report)) error {
	ctx, cancel := context.WithTimeout(context.Background(), hangTime)
	defer cancel()
	dialer := func(ctx context.Context) (net.Conn, error) {
		nc, err := client.TCP(conf.Addr)(ctx)
		if err == nil && conf.Buffer > 0 {
			nc.(*net.TCPConn).SetReadBuffer(conf.Buffer)
			nc.(*net.TCPConn).SetWriteBuffer(conf.Buffer)
		}
		return nc, err
	}
	c, err := client.NewReconnect(ctx, bookSet().Client(), dialer, client.Conf{
		Session: conf.Session, Logger: quiet, KeepaliveTime: conf.Keepalive, KeepaliveIntvl: conf.Keepalive,
		SysDataReceiveTimeout: time.Second, Backoff: client.Backoff{Max: 100 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	if conf.Slow == 0 {
		conf.Slow = 2 * time.Millisecond
	}
	if conf.Callers == 0 {
		conf.Callers = 16
	}
	var next atomic.Int64
	next.Store(int64(conf.From))
	take := func(count int) (from, to int) {
		to = int(next.Add(int64(count)))
		return to - count, to
	}
	var callers sync.WaitGroup
	for range conf.Callers {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(rand.N(2 * time.Millisecond)):
					tell(conf.one(c, take))
				}
			}
		})
	}
	callers.Wait()
	began := time.Now()
	c.Close()
	if took := time.Since(began); took > time.Second {
		return fmt.Errorf("the client closed in %v", took)
	}
	return nil
}

// one sends a command of any kind.
func (conf loadConf) one(c *client.Client[*book], take func(int) (from, to int)) (r report) {
	ctx, cancel := context.WithTimeout(context.Background(), hangTime)
	defer cancel()
	began := time.Now()
	var err error
	if kind := rand.IntN(8); kind == 0 || conf.Size > 0 {
		r.From, r.To = take(1 + rand.IntN(50))
		err = readNotes(ctx, c, notes{r.From, r.To, conf.Size})
	} else {
		r.From, r.To = take(1)
		n := note{Number: r.From}
		if rand.IntN(2) == 0 {
			n.Before, n.Then = rand.N(conf.Slow), rand.N(conf.Slow)
		}
		if kind == 1 {
			n.Padding = make([]byte, rand.IntN(100_000))
		}
		if kind >= 6 {
			n.Number |= repeatableBit
			r.From, r.To = n.Number, n.Number+1
			_, err = cmdstream.Do(ctx, c, repeatable{n})
		} else {
			_, err = cmdstream.Do(ctx, c, n)
		}
	}
	r.Outcome = base.OutcomeOf(err)
	if err == nil {
		return r
	}
	r.Error, r.Took = err.Error(), time.Since(began)
	r.Hung = ctx.Err() != nil
	for _, code := range []base.Code{
		base.ErrConnLost, base.ErrSessionLost, base.ErrKeepalive, base.ErrSlowReader, base.ErrDraining, base.ErrBusy,
	} {
		if errors.Is(err, code) {
			r.Codes = append(r.Codes, code)
		}
	}
	if e := (*base.Error)(nil); errors.As(err, &e) {
		r.ID = e.ID
	}
	return r
}

// readNotes sends a stream, and checks that its results come once each, in order.
func readNotes(ctx context.Context, c *client.Client[*book], cmd notes) error {
	next := cmd.From
	for result, err := range cmdstream.Results(ctx, c, cmd) {
		switch {
		case err != nil:
			return err
		case result.Number != next:
			return &base.Error{Outcome: base.Failed, Message: fmt.Sprintf("result %d came instead of %d", result.Number, next)}
		}
		next++
	}
	if next != cmd.To {
		return &base.Error{Outcome: base.Failed, Message: fmt.Sprintf("the results of %+v end before %d", cmd, next)}
	}
	return nil
}

// runLoad is the load's process: it says how each command ends.
func runLoad(in *json.Decoder, out *json.Encoder) error {
	var conf loadConf
	if err := in.Decode(&conf); err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() {
		in.Decode(new(any)) // waits for the end
		close(stop)
	}()
	var mu sync.Mutex // of out
	return conf.run(stop, func(r report) {
		mu.Lock()
		defer mu.Unlock()
		out.Encode(r)
	})
}

// reports are those of some loads.
type reports struct {
	mu  sync.Mutex // protects what follows
	all []report
	// wellSince counts the commands that have succeeded since await was called last.
	wellSince int
}

func (rs *reports) add(r report) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.all = append(rs.all, r)
	if r.Outcome == base.Succeeded {
		rs.wellSince++
	}
}

// await waits until so many further commands have succeeded.
func (rs *reports) await(t *testing.T, count int) {
	t.Helper()
	rs.mu.Lock()
	rs.wellSince = 0
	rs.mu.Unlock()
	eventually(t, fmt.Sprintf("%d commands succeed", count), func() bool {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		return rs.wellSince >= count
	})
}

// list returns those with an outcome.
func (rs *reports) list(outcome base.Outcome) (some []report) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.all {
		if r.Outcome == outcome {
			some = append(some, r)
		}
	}
	return some
}

// loadProcess is a load in a process of its own.
type loadProcess struct {
	*process
	read chan struct{} // closed when all that it has said is read
}

func startLoad(t *testing.T, conf loadConf, into *reports) *loadProcess {
	t.Helper()
	l := &loadProcess{startProcess(t, "load", conf), make(chan struct{})}
	go func() {
		defer close(l.read)
		for {
			var r report
			if l.out.Decode(&r) != nil {
				return // the end, or half of a report
			}
			into.add(r)
		}
	}()
	return l
}

// kill kills the process. What it has told is in the reports then.
func (l *loadProcess) kill() {
	l.process.kill()
	<-l.read
}

// end lets the callers end, and the process.
func (l *loadProcess) end(t *testing.T) {
	t.Helper()
	l.process.end(t)
	<-l.read
}

// goLoad runs a load here. The function that it returns ends it.
func goLoad(t *testing.T, conf loadConf, into *reports) (end func()) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- conf.run(stop, into.add) }()
	end = sync.OnceFunc(func() {
		close(stop)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return end
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hangTime); !isSo(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("within %v it did not come about that %s", hangTime, what)
		}
	}
}
