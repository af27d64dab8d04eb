package integration_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/server"
)

// Client and server are killed in turn, under load: no command runs twice, and what the
// callers were told is true. Of a client that is killed nothing stays behind at the
// server.
func TestClientsAndServersAreKilledInTurn(t *testing.T) {
	t.Parallel()
	conf := bookConf{
		File:     filepath.Join(t.TempDir(), "book"),
		Sessions: server.Sessions{Time: 500 * time.Millisecond},
	}
	s := startBook(t, conf)
	conf.Addrs = s.addrs
	var heard reports
	loads := 0
	load := func() *loadProcess {
		l := startLoad(t, loadConf{Addr: conf.Addrs[0], Session: true, From: loads << 20, Slow: 20 * time.Millisecond}, &heard)
		loads++
		heard.await(t, 50)
		return l
	}
	for range 2 {
		// The first client ends by itself: what the server uses then it may go on using.
		load().end(t)
		before := s.idle(t)
		load().kill()
		load().kill() // the one after one that was killed works at once
		after := s.idle(t)
		if stats := after.Stats; stats.SessionsExpired != 2 || stats.KeptBytes != 0 || stats.Bytes != 0 {
			t.Errorf("got %+v", stats)
		}
		wantBack(t, before.Usage, func() usage { return s.usage(t) }, usage{Goroutines: 16})

		last := load()
		s.kill()
		s = startBook(t, conf)
		heard.await(t, 50)
		last.end(t)
	}
	for _, r := range heard.list(base.Unknown) {
		if !slices.Contains(r.Codes, base.ErrSessionLost) || r.ID == (base.ID{}) {
			t.Errorf("a caller was told %+v", r)
		}
	}
	judge(t, conf.File, heard.all)
}
