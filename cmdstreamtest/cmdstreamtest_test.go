package cmdstreamtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/server"
)

func TestNew(t *testing.T) {
	c := cmdstreamtest.New(t, set.Client(), set.Server(), newCalc())
	if sum, err := cmdstream.Do(t.Context(), c, Add{2, 3}); sum != 5 || err != nil {
		t.Errorf("got %v, %v, want 5", sum, err)
	}
}

// In a bubble a minute takes no time, and the bubble's end finds all goroutines
// gone.
func TestNewInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cmdstreamtest.New(t, set.Client(), set.Server(), newCalc(), cmdstreamtest.Conf[Calc]{
			Client: client.Conf{Timeout: time.Minute},
		})
		begin := time.Now()
		_, err := cmdstream.Do(t.Context(), c, Wait{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin).Round(time.Second) != time.Minute {
			t.Errorf("got %v after %v, want the deadline after a minute", err, time.Since(begin))
		}
	})
}

func TestNewTakesTheServersConf(t *testing.T) {
	c := cmdstreamtest.New(t, set.Client(), set.Server(), newCalc(), cmdstreamtest.Conf[Calc]{
		Client: client.Conf{ServerInfo: []byte("calc")},
		Server: server.Conf[Calc]{ServerInfo: []byte("calc"), ServerSettings: server.Settings{MaxCmdSize: 3}},
	})
	_, err := cmdstream.Do(t.Context(), c, Add{2, 3})
	if !errors.Is(err, base.ErrTooLargeCmd) {
		t.Errorf("got %v, want ErrTooLargeCmd", err)
	}
}

func TestTheEndOfTheTestEndsItsClient(t *testing.T) {
	var plain, reconnecting *client.Client[Calc]
	failures := run(t.Context(), func(t testing.TB) {
		plain = cmdstreamtest.New(t, set.Client(), set.Server(), newCalc())
		reconnecting = cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), newCalc()).Client
		if plain.Err() != nil || reconnecting.Err() != nil {
			t.Errorf("a client has ended before the test: %v, %v", plain.Err(), reconnecting.Err())
		}
	})
	if len(failures) > 0 {
		t.Errorf("it failed: %q", failures)
	}
	if !errors.Is(plain.Err(), client.ErrClosed) || !errors.Is(reconnecting.Err(), client.ErrClosed) {
		t.Errorf("got %v and %v, want ErrClosed", plain.Err(), reconnecting.Err())
	}
}

// What can't be set up fails the test that wanted it, with the reason.
func TestABadConfFailsTheTest(t *testing.T) {
	type conf = cmdstreamtest.Conf[Calc]
	for _, c := range []struct {
		name, want string
		conf       conf
	}{
		{"client", "Timeout is negative", conf{Client: client.Conf{Timeout: -1}}},
		{"server", "WorkersCount is negative", conf{Server: server.Conf[Calc]{WorkersCount: -1}}},
		{"server info", "ServerInfo", conf{Client: client.Conf{ServerInfo: []byte("other")}}},
	} {
		for name, start := range map[string]func(t testing.TB){
			"New":          func(t testing.TB) { cmdstreamtest.New(t, set.Client(), set.Server(), newCalc(), c.conf) },
			"NewReconnect": func(t testing.TB) { cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), newCalc(), c.conf) },
		} {
			failures := run(t.Context(), func(t testing.TB) {
				start(t)
				t.Errorf("it went on")
			})
			if len(failures) != 1 || !strings.Contains(failures[0], c.want) {
				t.Errorf("%s, %s: got the failures %q, want one about %q", name, c.name, failures, c.want)
			}
		}
	}
}

// A dial after the test's end, when its ctx has ended, is a failure, not a hang.
func TestNewAfterTheEnd(t *testing.T) {
	var f testing.TB
	run(t.Context(), func(t testing.TB) { f = t })
	failures := run(t.Context(), func(t testing.TB) {
		cmdstreamtest.New(ended{t, f.Context()}, set.Client(), set.Server(), newCalc())
	})
	if len(failures) != 1 || !strings.Contains(failures[0], "canceled") {
		t.Errorf("got the failures %q", failures)
	}
}

// ended is a test with another ctx.
type ended struct {
	testing.TB
	ctx context.Context
}

func (e ended) Context() context.Context { return e.ctx }

// A command that does not heed its ctx would go on behind the back of later tests.
func TestACommandThatGoesOnFailsTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calc := newCalc()
		calc.stubborn = true
		failures := run(t.Context(), func(t testing.TB) {
			c := cmdstreamtest.New(t, set.Client(), set.Server(), calc)
			go cmdstream.Do(t.Context(), c, Wait{})
			<-calc.begun
		})
		if len(failures) != 1 || !strings.Contains(failures[0], "still run") {
			t.Errorf("got the failures %q", failures)
		}
		close(calc.release)
	})
}
