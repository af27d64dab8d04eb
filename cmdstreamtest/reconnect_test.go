package cmdstreamtest_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
)

func mustAdd(t *testing.T, n *cmdstreamtest.Network[Calc]) {
	t.Helper()
	if sum, err := cmdstream.Do(t.Context(), n.Client, Add{2, 3}); sum != 5 || err != nil {
		t.Errorf("got %v, %v, want 5", sum, err)
	}
}

// waits sends a Wait command, and returns its error when it has one.
func waits(t *testing.T, n *cmdstreamtest.Network[Calc], calc Calc) <-chan error {
	failed := make(chan error, 1)
	go func() {
		_, err := cmdstream.Do(t.Context(), n.Client, Wait{})
		failed <- err
	}()
	<-calc.begun
	return failed
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calc := newCalc()
		n := cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), calc)
		mustAdd(t, n)
		failed := waits(t, n, calc)
		begin := time.Now()
		n.Cut()
		if err := <-failed; !errors.Is(err, base.ErrConnLost) || base.OutcomeOf(err) != base.Unknown || time.Since(begin) > 0 {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		mustAdd(t, n)
		n.Cut()
		mustAdd(t, n)
		if added := calc.added.Load(); added != 3 {
			t.Errorf("Add ran %d times, want 3", added)
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calc := newCalc()
		n := cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), calc, cmdstreamtest.Conf[Calc]{
			Client: client.Conf{KeepaliveTime: time.Minute, KeepaliveIntvl: time.Second},
		})
		failed := waits(t, n, calc)
		begin := time.Now()
		n.Silence()
		if err := <-failed; !errors.Is(err, base.ErrKeepalive) || time.Since(begin) != 61*time.Second {
			t.Errorf("got %v after %v, want ErrKeepalive after 61 s", err, time.Since(begin))
		}
		mustAdd(t, n) // on a connection that is not silent
	})
}

func TestStopAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calc := newCalc()
		refused := 0
		n := cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), calc, cmdstreamtest.Conf[Calc]{
			Client: client.Conf{StateCallback: func(change client.StateChange) {
				if errors.Is(change.Err, syscall.ECONNREFUSED) {
					refused++
				}
			}},
		})
		first := n.Server()
		mustAdd(t, n)
		n.Stop()
		n.Stop() // does nothing
		if n.Server() != first {
			t.Error("there is another server after Stop")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := cmdstream.Do(ctx, n.Client, Add{}); base.OutcomeOf(err) != base.NotSent {
			t.Errorf("got %v while the server was stopped", err)
		}
		synctest.Wait()
		if refused == 0 {
			t.Error("no attempt to connect was refused")
		}
		n.Restart()
		mustAdd(t, n)
		n.Restart() // stops the server first
		mustAdd(t, n)
		if n.Server() == first {
			t.Error("the server is still the first one")
		}
	})
}

// A server may be drained too: the client connects to the next.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), newCalc())
		if err := n.Server().Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		n.Restart()
		mustAdd(t, n)
	})
}
