package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A sample is what one run has found: values by metric.
type sample map[string]float64

// The metrics. Times are in microseconds, sizes in bytes.
const (
	opsPerSecond  = "ops_per_second"
	median        = "p50_us"
	high          = "p99_us"
	highest       = "p999_us"
	allocs        = "allocs_per_op"
	allocated     = "bytes_per_op"
	cpu           = "cpu_us_per_op"
	writes        = "writes_per_op"
	wireUp        = "wire_request_bytes"  // beside the body
	wireDown      = "wire_response_bytes" // beside the body
	burstTime     = "time_ms"
	memoryPerCall = "memory_per_call"
	serverPerConn = "server_memory_per_conn"
	clientPerConn = "client_memory_per_conn"
	highWithout   = "p99_without_large_us"
	highWith      = "p99_with_large_us"
	largePerSec   = "large_per_second"
	jsonAlone     = "json_alone_us" // beside a typed echo: what its JSON costs by itself
)

// settings are the same for all runs.
type settings struct {
	duration, warm   time.Duration
	certificate, key []byte
}

const (
	dialTime   = 20 * time.Second
	manyDials  = 60 * time.Second // for thousands of connections
	stopTime   = 15 * time.Second // for workers to notice that a measurement is over
	largeTime  = 20 * time.Second // for a large call
	burstLimit = 2 * time.Minute  // for all calls of a burst
)

// errNotApplicable says that a system has no way to do the work.
var errNotApplicable = errors.New("not applicable")

// A run is one system at one workload, once.
type run struct {
	settings
	system systems.System
	work   workload
	host   host
	conf   systems.Conf
	conns  []systems.Conn
}

// execute starts a server, does the work and stops everything. Whatever happens, it
// returns.
func execute(system systems.System, w workload, m mode, s settings) (sample, error) {
	r := &run{settings: s, system: system, work: w, conf: w.conf(s.certificate, s.key)}
	if m == oneProcess {
		server, err := system.Serve(r.conf)
		if err != nil {
			return nil, err
		}
		r.host = localHost{server}
	} else {
		apart, err := serveApart(system.Info().Name, r.conf)
		if err != nil {
			return nil, err
		}
		r.host = apart
	}
	found, err := r.do()
	r.close()
	return found, err
}

// close lets go of connections and server, but not for ever.
func (r *run) close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, conn := range r.conns {
			conn.Close()
		}
		r.host.close()
	}()
	select {
	case <-closed:
	case <-time.After(stopTime):
	}
}

func (r *run) do() (sample, error) {
	if r.work.Kind == idle {
		return r.idle()
	}
	if err := r.dial(); err != nil {
		return nil, err
	}
	switch r.work.Kind {
	case burst:
		return r.burst()
	case beside:
		return r.beside()
	case paced:
		return r.paced()
	}
	l, workers, err := r.workers()
	if err != nil {
		return nil, err
	}
	return r.measure(l, workers)
}

// dial makes the connections.
func (r *run) dial() error {
	limit := dialTime
	if r.work.Conns >= 1_000 {
		limit = manyDials
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r.conns = make([]systems.Conn, r.work.Conns)
	err := parallel(r.work.Conns, func(i int) (err error) {
		r.conns[i], err = r.system.Dial(ctx, r.host.addr(), r.conf)
		return err
	})
	for _, conn := range r.conns {
		if conn == nil {
			r.conns = nil
			break
		}
	}
	if err != nil {
		return fmt.Errorf("dialing: %w", err)
	}
	return nil
}

// parallel calls f for 0 to n-1, some at once, and returns the first error.
func parallel(n int, f func(i int) error) error {
	const atOnce = 32
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for worker := range min(atOnce, n) {
		wg.Go(func() {
			for i := worker; i < n; i += atOnce {
				if err := f(i); err != nil {
					once.Do(func() { first = err })
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// callers makes n callers, in turn on all connections.
func (r *run) callers(n int) ([]systems.Caller, error) {
	callers := make([]systems.Caller, n)
	return callers, parallel(n, func(i int) (err error) {
		callers[i], err = r.conns[i%len(r.conns)].Caller()
		return err
	})
}

// workers are what a measurement runs in goroutines of their own.
func (r *run) workers() (*load, []func() error, error) {
	w := r.work
	windows := w.Kind == pipe || r.system.Info().Windowed
	var workers []func() error
	switch {
	case windows:
		l := newLoad(len(r.conns), w.Size)
		l.every = sampling
		for i, conn := range r.conns {
			windower, ok := conn.(systems.Windower)
			if !ok {
				return nil, nil, errNotApplicable
			}
			size := w.Callers / len(r.conns)
			workers = append(workers, func() error { return windower.Window(l.newWindow(i, size), size) })
		}
		return l, workers, nil
	case w.Kind == stream:
		l := newLoad(w.Callers, w.Size)
		for i := range w.Callers {
			streamer, ok := r.conns[i%len(r.conns)].(systems.Streamer)
			if !ok {
				return nil, nil, errNotApplicable
			}
			workers = append(workers, func() error { return l.stream(i, streamer, w.Results) })
		}
		return l, workers, nil
	}
	l := newLoad(w.Callers, w.Size)
	callers, err := r.callers(w.Callers)
	for i, caller := range callers {
		workers = append(workers, func() error { return l.call(i, caller) })
	}
	return l, workers, err
}

// measure warms up, measures and stops the workers.
func (r *run) measure(l *load, workers []func() error) (sample, error) {
	failed := make(chan error, len(workers))
	for _, worker := range workers {
		go func() { failed <- worker() }()
	}
	running := len(workers)
	pause := func(d time.Duration) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case err := <-failed:
			running--
			return errors.Join(errors.New("a caller has ended early"), err)
		}
	}
	found, err := r.between(l, pause)
	l.phase.Store(finished)
	deadline := time.After(stopTime)
	for ; running > 0; running-- {
		select {
		case workerErr := <-failed:
			err = errors.Join(err, workerErr)
		case <-deadline:
			return nil, errors.Join(err, fmt.Errorf("%d of %d callers still wait for an answer after %v", running, len(workers), stopTime))
		}
	}
	if err != nil {
		return nil, err
	}
	// Only now have the calls been counted that were under way at the end.
	if quantiles, ok := l.latencies.quantiles(0.5, 0.99, 0.999); ok {
		found[median], found[high], found[highest] = quantiles[0], quantiles[1], quantiles[2]
	}
	return found, nil
}

// between takes all counters at two moments, and what lies between.
func (r *run) between(l *load, pause func(time.Duration) error) (sample, error) {
	if err := pause(r.warm); err != nil {
		return nil, err
	}
	before, err := r.count()
	if err != nil {
		return nil, err
	}
	done, start := l.done(), time.Now()
	l.phase.Store(measuring)
	if err := pause(r.duration); err != nil {
		return nil, err
	}
	ops, elapsed := float64(l.done()-done), time.Since(start)
	after, err := r.count()
	if err != nil {
		return nil, err
	}
	if ops == 0 && r.work.Kind == beside {
		return sample{opsPerSecond: 0}, nil // they all wait for the large one
	}
	if ops == 0 {
		return nil, fmt.Errorf("no call was answered within %v", r.duration)
	}
	used := after.minus(before)
	return sample{
		opsPerSecond: ops / elapsed.Seconds(),
		allocs:       float64(used.Allocs) / ops,
		allocated:    float64(used.Bytes) / ops,
		cpu:          float64(used.CPU.Nanoseconds()) / 1e3 / ops,
		writes:       float64(used.Writes) / ops,
	}, nil
}

// count is what both processes have used.
func (r *run) count() (counters, error) {
	theirs, err := r.host.ask(askCounters)
	if err != nil {
		return counters{}, fmt.Errorf("asking the server's process: %w", err)
	}
	return readCounters().plus(theirs), nil
}
