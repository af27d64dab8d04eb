package main

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// burst makes all calls at once, each in a goroutine of its own.
func (r *run) burst() (sample, error) {
	callers, err := r.callers(r.work.Callers)
	if err != nil {
		return nil, err
	}
	if err := r.at(callers[:min(1_000, len(callers))]); err != nil {
		return nil, err
	}
	theirs, err := r.host.ask(askWatch)
	if err != nil {
		return nil, err
	}
	settle()
	ours := readMemory()
	stop := watch()
	defer stop()
	before, err := r.count()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := r.at(callers); err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	after, err := r.host.ask(askCounters)
	if err != nil {
		return nil, err
	}
	self, n := readCounters(), float64(len(callers))
	used := self.plus(after).minus(before)
	memory := float64(self.Peak) - float64(ours)
	if theirs.Memory > 0 {
		memory += float64(after.Peak) - float64(theirs.Memory)
	}
	return sample{
		opsPerSecond: n / elapsed.Seconds(), burstTime: float64(elapsed.Microseconds()) / 1e3,
		memoryPerCall: memory / n, allocs: float64(used.Allocs) / n, allocated: float64(used.Bytes) / n,
		cpu: float64(used.CPU.Nanoseconds()) / 1e3 / n, writes: float64(used.Writes) / n,
	}, nil
}

// at makes one call of each caller, all at once.
func (r *run) at(callers []systems.Caller) error {
	failed := make(chan error, len(callers))
	for i, caller := range callers {
		go func() {
			body := newBody(r.work.Size, i)
			setNumber(body, i, 0)
			answer, err := caller.Echo(body)
			if err == nil && !bytes.Equal(answer, body) {
				err = errWrongAnswer
			}
			failed <- err
		}()
	}
	deadline := time.After(burstLimit)
	for left := len(callers); left > 0; left-- {
		select {
		case err := <-failed:
			if err != nil {
				return err
			}
		case <-deadline:
			return fmt.Errorf("%d of %d calls have no answer after %v", left, len(callers), burstLimit)
		}
	}
	return nil
}

// idleFor is how long connections have done nothing, when their memory is counted.
const idleFor = 7 * time.Second

// idle finds what memory connections hold that do nothing.
func (r *run) idle() (sample, error) {
	server, err := r.host.ask(askSettle)
	if err != nil {
		return nil, err
	}
	settle()
	client := readMemory()
	if err := r.dial(); err != nil {
		return nil, err
	}
	callers, err := r.callers(len(r.conns))
	if err != nil {
		return nil, err
	}
	if err := r.once(callers); err != nil {
		return nil, err
	}
	time.Sleep(idleFor)
	serverAfter, err := r.host.ask(askSettle)
	if err != nil {
		return nil, err
	}
	settle()
	n := float64(len(r.conns))
	found := sample{
		serverPerConn: (float64(serverAfter.Memory) - float64(server.Memory)) / n,
		clientPerConn: (float64(readMemory()) - float64(client)) / n,
	}
	runtime.KeepAlive(callers)
	return found, nil
}

// once makes a call of each caller, a few at a time.
func (r *run) once(callers []systems.Caller) error {
	return parallel(len(callers), func(i int) error {
		body := newBody(r.work.Size, i)
		setNumber(body, i, 0)
		answer, err := callers[i].Echo(body)
		if err == nil && !bytes.Equal(answer, body) {
			err = errWrongAnswer
		}
		return err
	})
}

// paced makes calls at a steady rate in turn on all connections.
func (r *run) paced() (sample, error) {
	w := r.work
	callers, err := r.callers(max(w.Callers, len(r.conns)))
	if err != nil {
		return nil, err
	}
	if err := r.once(callers); err != nil {
		return nil, err
	}
	settle()
	if _, err := r.host.ask(askSettle); err != nil {
		return nil, err
	}
	l := newLoad(w.Callers, w.Size)
	interval := time.Second * time.Duration(w.Callers) / time.Duration(w.Rate)
	share := len(callers) / w.Callers
	var workers []func() error
	for i := range w.Callers {
		mine := callers[i*share : (i+1)*share]
		workers = append(workers, func() error { return l.pace(i, w.Callers, mine, interval) })
	}
	return r.measure(l, workers)
}

// beside measures small calls twice: alone, and beside large ones that follow each
// other on the same connection.
func (r *run) beside() (sample, error) {
	alone, err := r.small()
	if err != nil {
		return nil, err
	}
	large, err := r.conns[0].Caller()
	if err != nil {
		return nil, err
	}
	var (
		wg       sync.WaitGroup
		done     = make(chan struct{})
		count    int
		largeErr error
	)
	start := time.Now()
	wg.Go(func() {
		body := newBody(r.work.Large, 0)
		for ; largeErr == nil; count++ {
			select {
			case <-done:
				return
			default:
			}
			setNumber(body, r.work.Callers, uint64(count))
			answer, err := large.Echo(body)
			if err == nil && !bytes.Equal(answer, body) {
				err = errWrongAnswer
			}
			largeErr = err
		}
	})
	found, err := r.small()
	close(done)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wg.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(largeTime):
		return nil, errors.Join(err, fmt.Errorf("the large call has no answer after %v", largeTime))
	}
	if err = errors.Join(err, largeErr); err != nil {
		return nil, err
	}
	if without, ok := alone[high]; ok {
		found[highWithout] = without
	}
	if with, ok := found[high]; ok {
		found[highWith] = with
	}
	found[largePerSec] = float64(count) / time.Since(start).Seconds()
	return found, nil
}

// small measures the small calls.
func (r *run) small() (sample, error) {
	l, workers, err := r.workers()
	if err != nil {
		return nil, err
	}
	l.every = 1 // where few calls are made, none may be missed
	return r.measure(l, workers)
}
