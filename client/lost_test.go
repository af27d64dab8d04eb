package client_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// The end of the connection ends all that is open on it, at once.
func TestOpenCommandsEndWithTheConnection(t *testing.T) {
	for name, kind := range map[string]memnet.Kind{"FIN": memnet.FIN, "RST": memnet.RST} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newPeer(t, client.Conf{})
				done := start(t.Context(), c, command{})
				results := make(chan base.AsyncResult, 2)
				seq := mustSend(t, c, command{}, results)
				loop := make(chan error, 2)
				go func() {
					for _, err := range c.Results(context.Background(), command{}) {
						loop <- err
					}
				}()
				synctest.Wait()
				begin := time.Now()
				p.nc.Cut(kind)
				want(t, (<-done).err, base.Unknown, base.ErrConnLost)
				r := <-results
				want(t, r.Err, base.Unknown, base.ErrConnLost)
				if r.Seq != seq {
					t.Errorf("got the seq %d", r.Seq)
				}
				want(t, <-loop, base.Unknown, base.ErrConnLost)
				took(t, begin, 0)
				<-c.Done()
				want(t, c.Err(), base.Unknown, base.ErrConnLost)
			})
		})
	}
}

// Results that came before the end count: only then comes the error.
func TestResultsBeforeTheEndCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		results := make(chan base.AsyncResult)
		seq := mustSend(t, c, command{}, results)
		p.item(p.expect(kindCommand).Slot, 1)
		p.nc.Close()
		<-c.Done()
		gets(t, results, seq, 1)
		want(t, (<-results).Err, base.Unknown, base.ErrConnLost)
	})
}

// A command whose bytes the connection did not take is not sent; one that it took
// may have run.
func TestBytesThatWereNotWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := slowly(t, client.Conf{})
		written := start(t.Context(), c, command{})
		synctest.Wait()
		results := make(chan base.AsyncResult, 10)
		var seqs []base.Seq
		for range 5 { // the third no longer fits
			seqs = append(seqs, mustSend(t, c, command{Body: make([]byte, 7<<10)}, results))
			synctest.Wait()
		}
		p.nc.Close()
		want(t, (<-written).err, base.Unknown, base.ErrConnLost)
		ends := map[base.Seq]base.Outcome{}
		for range seqs {
			r := <-results
			ends[r.Seq] = base.OutcomeOf(r.Err)
		}
		if ends[seqs[0]] != base.Unknown || ends[seqs[4]] != base.NotSent {
			t.Errorf("got %v", ends)
		}
	})
}

// A write that had reached the server may return only after the connection was
// found to be lost: the command may have run.
func TestAWriteThatReturnsAfterTheEnd(t *testing.T) {
	for name, size := range map[string]int{"written behind Do's back": 0, "written by Do": 9 << 10} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // who comes first is up to the scheduler
				bubble(t, func(t *testing.T) {
					conn, p := newPipe(t)
					go p.hello(wireHello(0))
					w := &lateWriter{Conn: conn, closed: make(chan struct{})}
					c := over(t, w, codec{}, client.Conf{})
					synctest.Wait()
					w.longerThan.Store(int64(size))
					w.late.Store(true)
					done := start(t.Context(), c, command{Body: make([]byte, size)})
					p.expect(kindCommand) // the server has it
					p.nc.Close()
					want(t, (<-done).err, base.Unknown, base.ErrConnLost)
				})
			}
		})
	}
}

// lateWriter's writes have reached the peer, but once late is set the longer ones
// return only after Close.
type lateWriter struct {
	net.Conn
	late       atomic.Bool
	longerThan atomic.Int64
	once       sync.Once
	closed     chan struct{}
}

func (w *lateWriter) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if w.late.Load() && int64(len(b)) > w.longerThan.Load() {
		<-w.closed
		time.Sleep(time.Millisecond) // it is slow to wake up
	}
	return n, err
}

func (w *lateWriter) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// A server that does not read for WriteTimeout, while there is something to write.
func TestAServerThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, nc := memnet.PipeSize(16 << 10)
		p := onConn(t, nc)
		go p.hello(wireHello(0))
		c := over(t, conn, codec{}, client.Conf{WriteTimeout: 5 * time.Second})
		begin := time.Now()
		done := start(t.Context(), c, command{Body: make([]byte, 100<<10)})
		want(t, (<-done).err, base.NotSent, base.ErrSlowReader)
		took(t, begin, 5*time.Second)
	})
}

func TestKeepaliveOfAnIdleConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{KeepaliveTime: time.Minute, KeepaliveIntvl: time.Second})
		var pings atomic.Int32
		var silent atomic.Bool
		go func() {
			for {
				f, ok := p.read()
				if !ok {
					return
				}
				if f.Kind == kindPing {
					pings.Add(1)
					if !silent.Load() {
						p.write([]byte{0})
					}
				}
			}
		}()
		time.Sleep(59 * time.Second)
		if pings.Load() != 0 {
			t.Errorf("%d pings within the first minute", pings.Load())
		}
		time.Sleep(10*time.Second + 500*time.Millisecond)
		if n := pings.Load(); n != 10 {
			t.Errorf("%d pings in the ten seconds after, want 10", n)
		}
		silent.Store(true)
		begin := time.Now()
		<-c.Done()
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("it took %v to find out", d)
		}
		want(t, c.Err(), base.Unknown, base.ErrKeepalive)
	})
}

// A server that has gone silent with commands open is found out, too.
func TestKeepaliveWithOpenCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, p := newPipe(t)
		go p.hello(wireHello(0))
		c := over(t, conn, codec{}, client.Conf{KeepaliveTime: time.Minute, KeepaliveIntvl: time.Second})
		done := start(t.Context(), c, command{})
		p.expect(kindCommand)
		p.nc.Cut(memnet.Stall)
		conn.(*memnet.Conn).Cut(memnet.Stall)
		go func() { // goes on sending
			for c.Err() == nil {
				c.Send(command{}, make(chan base.AsyncResult, 1))
				time.Sleep(10 * time.Second)
			}
		}()
		begin := time.Now()
		want(t, (<-done).err, base.Unknown, base.ErrConnLost, base.ErrKeepalive)
		if d := time.Since(begin); d > 62*time.Second {
			t.Errorf("it took %v to find out", d)
		}
		time.Sleep(time.Minute)
	})
}

// A long command is no reason to give up a server that answers the pings.
func TestKeepaliveOfALongCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			time.Sleep(time.Hour)
			return echo(ctx, cmd, seq, proxy)
		}, serverConf{})
		c := dial(t, l, client.Conf{KeepaliveTime: time.Minute, KeepaliveIntvl: time.Second})
		mustDo(t, c, 1)
	})
}

// Has and Forget keep to the commands that are open after others were lost.
func TestForgottenCommandsAreLostSilently(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		results := make(chan base.AsyncResult, 1)
		seq := mustSend(t, c, command{}, results)
		c.Forget(seq)
		p.expect(kindCommand)
		p.nc.Close()
		<-c.Done()
		synctest.Wait()
		if len(results) > 0 || c.Has(seq) {
			t.Errorf("%d results came; Has says %v", len(results), c.Has(seq))
		}
		c.Forget(seq)
	})
}
