package integration_test

import (
	"path/filepath"
	"testing"

	"github.com/cmdstream/cmdstream/base"
)

// Servers are drained and replaced at the same address, one after the other and under
// load: no command fails, with sessions, and also without, for a client sends again what
// was rejected.
func TestServersAreReplacedInTurn(t *testing.T) {
	for name, session := range map[string]bool{"with sessions": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := bookConf{File: filepath.Join(t.TempDir(), "book")}
			s := startBook(t, conf)
			conf.Addrs = s.addrs
			var heard reports
			end := goLoad(t, loadConf{Addr: conf.Addrs[0], Session: session}, &heard)
			const restarts = 3
			for range restarts {
				heard.await(t, 100)
				var drained string
				s.ask(t, "drain", &drained)
				if drained != "<nil>" {
					t.Errorf("Shutdown returned %q", drained)
				}
				s.end(t)
				s = startBook(t, conf)
			}
			heard.await(t, 100)
			end()
			if succeeded := heard.list(base.Succeeded); len(succeeded) != len(heard.all) {
				for _, r := range heard.all {
					if r.Outcome != base.Succeeded {
						t.Errorf("a caller was told %+v", r)
					}
				}
			}
			lives := make(map[int]bool)
			for _, e := range readBook(t, conf.File) {
				lives[e.life] = true
			}
			if len(lives) != restarts+1 {
				t.Errorf("%d servers have run commands", len(lives))
			}
			judge(t, conf.File, heard.all)
		})
	}
}
