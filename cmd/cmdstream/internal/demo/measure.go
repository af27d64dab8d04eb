package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/client"
)

// measurement is what a number of callers did.
type measurement struct {
	callers, commands int
	elapsed           time.Duration
	p50, p99          time.Duration // of a command, as its caller saw it
}

// rate is in commands a second.
func (m measurement) rate() float64 { return float64(m.commands) / m.elapsed.Seconds() }

// caller sends one echo after another.
type caller struct {
	echo      echo
	latencies []time.Duration
	done      atomic.Int64 // for the progress
	err       error
}

// measure has a number of callers send commands for a time. It tells progress
// the rate so far, now and then.
func measure(c *client.Client[*echoServer], callers int, d time.Duration, progress func(rate float64)) (measurement, error) {
	all := make([]caller, callers)
	var stop atomic.Bool
	var working sync.WaitGroup
	began := time.Now()
	for i := range all {
		working.Go(func() { all[i].work(c, uint64(i), &stop) })
	}
	for elapsed := time.Duration(0); elapsed < d; elapsed = time.Since(began) {
		select {
		case <-time.After(min(100*time.Millisecond, d-elapsed)):
		case <-c.Done():
			d = 0
		}
		var done int64
		for i := range all {
			done += all[i].done.Load()
		}
		progress(float64(done) / time.Since(began).Seconds())
	}
	stop.Store(true)
	working.Wait()
	m := measurement{callers: callers, elapsed: time.Since(began)}
	var latencies []time.Duration
	for i := range all {
		if err := all[i].err; err != nil {
			return m, err
		}
		latencies = append(latencies, all[i].latencies...)
	}
	if len(latencies) == 0 {
		return m, fmt.Errorf("no echo came within %v", m.elapsed)
	}
	slices.Sort(latencies)
	m.commands = len(latencies)
	m.p50, m.p99 = latencies[m.commands/2], latencies[m.commands*99/100]
	return m, nil
}

// work sends echoes, each unlike any other, until it is to stop.
func (w *caller) work(c *client.Client[*echoServer], number uint64, stop *atomic.Bool) {
	binary.LittleEndian.PutUint64(w.echo.sent[:], number)
	last := time.Now()
	for n := uint64(1); !stop.Load(); n++ {
		binary.LittleEndian.PutUint64(w.echo.sent[8:], n)
		binary.LittleEndian.PutUint64(w.echo.sent[24:], n^number)
		if _, err := c.Do(context.Background(), &w.echo); err != nil {
			w.err = fmt.Errorf("echo: %w", err)
			return
		}
		now := time.Now()
		if w.echo.got != w.echo.sent {
			w.err = wrong("an echo", fmt.Sprintf("%x", w.echo.got), fmt.Sprintf("%x", w.echo.sent))
			return
		}
		w.latencies = append(w.latencies, now.Sub(last))
		w.done.Add(1)
		last = now
	}
}
