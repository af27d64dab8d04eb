// Package ping measures round trips to a server by the pings of the protocol: a zero
// byte there, a zero byte back. They need no command, and pass through all that a
// command passes through but its code.
//
//	stats, err := ping.Run(ctx, ping.Options{Connect: connect, Count: 5, Interval: time.Second, Timeout: time.Second}, show)
package ping

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/cmdstream/cmdstream/transport"
)

// MinInterval is the shortest interval. A server ends a connection that sends more than
// 100 pings a second for long.
const MinInterval = 10 * time.Millisecond

// Options says how to ping.
type Options struct {
	// Connect makes a connection that nobody else reads.
	Connect func(ctx context.Context) (*transport.Conn, error)
	// Count is how many pings are sent; 0: until ctx ends.
	Count int
	// Interval is the time from one ping to the next, if the answer has come by then.
	Interval time.Duration
	// Timeout is how long an answer may take; without one the ping is lost.
	Timeout time.Duration
}

// Answer is what became of one ping.
type Answer struct {
	Number int           // from 1 on
	Time   time.Duration // of the round trip
	Err    error         // nil: it was answered
}

// Stats are those of all pings. The times are 0 while none was answered.
type Stats struct {
	Sent, Received        int
	Min, Median, P99, Max time.Duration
	Mean, Deviation       time.Duration
}

// Loss returns the part of the pings that was not answered, from 0 to 1.
func (s Stats) Loss() float64 {
	if s.Sent == 0 {
		return 0
	}
	return 1 - float64(s.Received)/float64(s.Sent)
}

// Run pings until Count is reached or ctx ends, tells each what becomes of every ping,
// and returns the statistics. The first connection must come up, else its error is
// returned. After a ping without an answer the next goes over a new connection: an
// answer has no number, so a late one would be taken for the next's.
func Run(ctx context.Context, o Options, each func(Answer)) (Stats, error) {
	conn, err := o.Connect(ctx)
	if err != nil {
		return Stats{}, err
	}
	defer func() {
		if conn != nil {
			end(conn)
		}
	}()
	times := hdrhistogram.New(1, int64(time.Hour), 3) // in ns
	var stats Stats
	ticker := time.NewTicker(o.Interval)
	defer ticker.Stop()
	for number := 1; o.Count == 0 || number <= o.Count; number++ {
		if number > 1 {
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		var took time.Duration
		if conn == nil {
			conn, err = o.Connect(ctx)
		}
		if err == nil {
			took, err = once(ctx, conn, o.Timeout)
		}
		if err != nil && ctx.Err() != nil {
			break // it was under way when the user had enough: neither answered nor lost
		}
		stats.Sent++
		if err == nil {
			stats.Received++
			times.RecordValue(min(int64(took), int64(time.Hour)))
			if stats.Received == 1 || took < stats.Min {
				stats.Min = took
			}
			stats.Max = max(stats.Max, took)
		}
		each(Answer{Number: number, Time: took, Err: err})
		if err != nil && conn != nil {
			end(conn)
			conn = nil
		}
		err = nil
	}
	if stats.Received > 0 {
		stats.Median = time.Duration(times.ValueAtQuantile(50))
		stats.P99 = min(time.Duration(times.ValueAtQuantile(99)), stats.Max)
		stats.Mean, stats.Deviation = time.Duration(times.Mean()), time.Duration(times.StdDev())
	}
	return stats, nil
}

// once sends a ping and waits for the answer.
func once(ctx context.Context, conn *transport.Conn, timeout time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Fail(context.Cause(ctx)) })()
	began := time.Now()
	if err := conn.Post(&transport.Message{Kind: transport.Ping}); err != nil {
		return 0, err
	}
	for {
		var m transport.Message
		if err := conn.Read(&m); err != nil {
			return 0, err
		}
		switch m.Kind {
		case transport.Ping:
			return time.Since(began), nil
		case transport.Goaway: // it waits for its clients to leave
			return 0, errors.New("the server is shutting down")
		}
	}
}

// end ends a connection for good.
func end(conn *transport.Conn) {
	conn.Fail(errors.New("pinged enough"))
	conn.Join()
}
