//go:build unix

package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// writeTimeout is how long a peer may not read, here.
const writeTimeout = 500 * time.Millisecond

// smallBuffer is the buffer of a socket that is soon full, in bytes. One that is smaller
// than a packet of the loopback, of 64 KiB, makes TCP crawl.
const smallBuffer = 128 << 10

// A client is stopped that gets much: the server cuts it, holds no more for it than it
// may, and serves the others. When the client goes on so does its session.
func TestAClientThatStopsReading(t *testing.T) {
	t.Parallel()
	conf := bookConf{File: filepath.Join(t.TempDir(), "book"), Buffer: smallBuffer, WriteTimeout: writeTimeout}
	s := startBook(t, conf)
	var slow, honest reports
	l := startLoad(t, loadConf{Addr: s.addrs[0], Session: true, Size: 3000, Buffer: smallBuffer}, &slow)
	defer goLoad(t, loadConf{Addr: s.addrs[0], Session: true, From: 1 << 20, Callers: 4}, &honest)()
	slow.await(t, 16)
	before := s.state(t)
	l.pause(t)
	peak := before.Usage.HeapMiB
	eventually(t, "the client is cut", func() bool {
		now := s.state(t)
		peak = max(peak, now.Usage.HeapMiB)
		return now.Stats.SlowReaders > before.Stats.SlowReaders && now.Stats.DetachedSessions == 1
	})
	honest.await(t, 50)
	after := s.state(t)
	peak = max(peak, after.Usage.HeapMiB)
	t.Logf("the server's heap was %.1f MiB before, and %.1f MiB at most; %d KiB are kept", before.Usage.HeapMiB, peak, after.Stats.KeptBytes>>10)
	// 4 MiB for the session, 1 for the connection, and what 16 commands are about to send.
	if peak > before.Usage.HeapMiB+8 || after.Stats.KeptBytes > 5<<20 {
		t.Errorf("got %+v", after)
	}
	l.resume(t)
	slow.await(t, 16)
	l.end(t)
	if succeeded := slow.list(base.Succeeded); len(succeeded) != len(slow.all) {
		t.Errorf("%d of %d commands have succeeded", len(succeeded), len(slow.all))
	}
	judge(t, conf.File, slow.all)
}

// narrow connects to a server that has small buffers, and has small ones itself.
func narrow(t *testing.T, s *bookProcess, conf client.Conf) *client.Client[*book] {
	t.Helper()
	nc, err := net.Dial("tcp", s.addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	nc.(*net.TCPConn).SetWriteBuffer(smallBuffer)
	conf.Logger = quiet
	c, err := client.New(soon(t), bookSet().Client(), nc, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The server is stopped while many callers send: the client ends after its write
// timeout, has held no more than it may, and what it says of each command is true.
func TestAServerThatStopsReading(t *testing.T) {
	conf := bookConf{File: filepath.Join(t.TempDir(), "book"), Buffer: smallBuffer}
	s := startBook(t, conf)
	c := narrow(t, s, client.Conf{WriteTimeout: writeTimeout})
	other := startBook(t, bookConf{File: filepath.Join(t.TempDir(), "book")})
	var heard, honest reports
	defer goLoad(t, loadConf{Addr: other.addrs[0], Callers: 4}, &honest)()
	honest.await(t, 50)
	before := usageNow()
	s.pause(t)
	const callers = 3000
	began, ended := time.Now(), make(chan time.Duration, 1)
	go func() {
		<-c.Done()
		ended <- time.Since(began)
	}()
	var work sync.WaitGroup
	for number := range callers {
		work.Go(func() {
			_, err := cmdstream.Do(soon(t), c, note{Number: number, Padding: make([]byte, 600)})
			heard.add(report{From: number, To: number + 1, Outcome: base.OutcomeOf(err), Error: fmt.Sprint(err)})
			if !errors.Is(err, base.ErrSlowReader) {
				t.Errorf("command %d: %v", number, err)
			}
		})
	}
	time.Sleep(writeTimeout / 2)
	honest.await(t, 50)
	during := usageNow()
	work.Wait()
	took := receive(t, ended)
	t.Logf("the client ended after %v; its heap was %.1f MiB before, and %.1f MiB meanwhile", took, before.HeapMiB, during.HeapMiB)
	if !errors.Is(c.Err(), base.ErrSlowReader) {
		t.Errorf("the client has ended with %v", c.Err())
	}
	if took < writeTimeout {
		t.Errorf("the client has ended after %v", took)
	}
	// A caller costs 10 KiB, with its goroutine, and the connection a MiB.
	if during.HeapMiB > before.HeapMiB+callers*10/1024.+8 {
		t.Errorf("the client holds %.1f MiB, %.1f before", during.HeapMiB, before.HeapMiB)
	}
	if len(heard.list(base.NotSent)) == 0 || len(heard.list(base.Unknown)) == 0 {
		t.Error("the buffers were not full, or nothing was written")
	}
	s.resume(t)
	s.idle(t)
	judge(t, conf.File, heard.all)
}

// A caller whose ctx ends returns at once, whatever it waits for, also when the peer is
// silent.
func TestCallersGiveUpAtOnce(t *testing.T) {
	const each = 50
	s := startBook(t, bookConf{File: filepath.Join(t.TempDir(), "book"), Buffer: smallBuffer})
	c := narrow(t, s, client.Conf{MaxInFlight: 3 * each})
	type caller struct {
		cancel context.CancelFunc
		ended  chan error
	}
	var all []caller
	call := func(cmd note) {
		ctx, cancel := context.WithCancel(t.Context())
		one := caller{cancel, make(chan error, 1)}
		all = append(all, one)
		go func() {
			_, err := cmdstream.Do(ctx, c, cmd)
			one.ended <- err
		}()
	}
	for number := range each { // for a result
		call(note{Number: number, Before: time.Hour})
	}
	eventually(t, "the commands run", func() bool { return s.state(t).Stats.Running == each })
	s.pause(t)
	for number := range each { // in the middle of a large command
		call(note{Number: 1000 + number, Padding: make([]byte, 100_000)})
	}
	time.Sleep(100 * time.Millisecond)
	for number := range each { // for room in the send buffer
		call(note{Number: 2000 + number, Padding: make([]byte, 5_000)})
	}
	time.Sleep(100 * time.Millisecond)
	for number := range each { // for a place among the commands in flight
		call(note{Number: 3000 + number})
	}
	time.Sleep(100 * time.Millisecond)
	var delays []time.Duration
	notSent := 0
	// The last first, so that nobody gets what somebody has left.
	for i, one := range slices.Backward(all) {
		select {
		case err := <-one.ended:
			t.Fatalf("caller %d did not wait: %v", i, err)
		default:
		}
		began := time.Now()
		one.cancel()
		err := receive(t, one.ended)
		delays = append(delays, time.Since(began))
		outcome := base.OutcomeOf(err)
		if !errors.Is(err, context.Canceled) || i < each && outcome != base.Unknown {
			t.Errorf("caller %d: %v, %v", i, outcome, err)
		}
		if outcome == base.NotSent {
			notSent++
		}
	}
	if notSent < each/2 { // those at least for whom there was no place
		t.Errorf("%d commands were not sent", notSent)
	}
	slices.Sort(delays)
	t.Logf("callers return after %v, %v at the 99th of a hundred, %v at most", delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1])
	// Strictly they do so in simulated time. Here others may have the processors.
	if usual := delays[len(delays)/2]; usual > 2*time.Millisecond {
		t.Errorf("half of them return after %v or later", usual)
	}
	if late := delays[len(delays)*9/10]; late > 50*time.Millisecond {
		t.Errorf("one of ten returns after %v or later", late)
	}
	s.resume(t)
}
