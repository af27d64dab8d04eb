//go:build unix

package integration_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// One side is stopped for longer than the keepalive, and goes on. With a session all
// commands end well, and once; without, those that were open end soon, as Unknown.
func TestOneSideIsPaused(t *testing.T) {
	const (
		keepalive = 300 * time.Millisecond
		patience  = time.Second // the server's
		pause     = 2 * time.Second
		callers   = 16
	)
	for _, test := range []struct {
		name    string
		session bool
		client  bool // is paused, and not the server
	}{
		{"the server, with a session", true, false},
		{"the server", false, false},
		{"the client, with a session", true, true},
		{"the client", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conf := bookConf{File: filepath.Join(t.TempDir(), "book")}
			if test.client {
				conf.ReceiveTimeout = patience
			}
			s := startBook(t, conf)
			var heard reports
			l := startLoad(t, loadConf{Addr: s.addrs[0], Session: test.session, Callers: callers, Keepalive: keepalive}, &heard)
			heard.await(t, 100)
			paused := s.process
			if test.client {
				paused = l.process
			}
			paused.pause(t)
			time.Sleep(pause)
			if !test.client && !test.session {
				// Nobody waits for the server.
				eventually(t, "the open commands end", func() bool { return len(heard.list(base.Unknown)) > 0 })
			}
			if test.client {
				if stats := s.state(t).Stats; stats.Idle == 0 || stats.Connections > 0 {
					t.Errorf("got %+v", stats)
				}
			}
			paused.resume(t)
			heard.await(t, 100)
			l.end(t)

			state := s.state(t)
			unknown := heard.list(base.Unknown)
			if test.session {
				if state.Stats.SessionsResumed == 0 {
					t.Error("the client has noticed nothing")
				}
				if succeeded := heard.list(base.Succeeded); len(succeeded) != len(heard.all) {
					t.Errorf("%d of %d commands have ended otherwise, such as %+v", len(heard.all)-len(succeeded), len(heard.all), unknown[:min(3, len(unknown))])
				}
			} else if lost := state.Accepted - 1; lost == 0 || len(unknown) > callers*lost {
				t.Errorf("%d commands are Unknown, of %d callers, and %d connections were lost", len(unknown), callers, lost)
			}
			silent := 0
			for _, r := range unknown {
				if !slices.Contains(r.Codes, base.ErrConnLost) {
					t.Errorf("a caller was told %+v", r)
				}
				if slices.Contains(r.Codes, base.ErrKeepalive) {
					silent++
				}
			}
			if !test.client && !test.session && silent == 0 {
				t.Errorf("nobody was told that the server is silent, among %d", len(unknown))
			}
			judge(t, conf.File, heard.all)
		})
	}
}
