// Package attacks mounts attacks and faults against servers and clients, one by one,
// beside clients that do nothing wrong: docs/reliability.md is its table. Each must be
// counted, must end as its row says, and must harm nobody else. Each is mounted once
// more with its limit lifted, and then the test itself must fail.
package attacks

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// limits are what bounds an attack: the configurations of both sides.
type limits struct {
	server server.Conf[*world]
	client client.Conf // of the clients that the attack makes
	format json.Format
	// anything has the server's codec take commands that it does not know.
	anything bool
}

// row is an attack, or a fault.
type row struct {
	name string
	// limit says what bounds it, in words.
	limit string
	// conf sets the limits, so low that the attack is short. lift raises them again.
	// Without lift the attack, when it is told that it is lifted, keeps within the
	// rule: then nobody may be cut, and nothing counted. why says why no Conf will do;
	// make mutants lifts those limits in the code.
	conf func(*limits)
	lift func(*limits)
	why  string
	// attack mounts it, and returns when it has had its effect, or patience is over.
	attack func(*arena)
	// counters are the fields of server.Stats that must rise, and of client.Stats, of the
	// clients that the attack has made.
	counters []string
	// anyway are the counters that count, and the errors that are seen, whether the limit
	// is lifted or not.
	anyway []any
	// sees are the errors that the users see. note says what else they see.
	sees []sight
	note string
	// retries: the neighbours try again what is rejected as busy.
	retries bool
	// also names further tests.
	also []string
}

// sight is an error that a user must see.
type sight struct {
	who     side
	err     error
	outcome base.Outcome // of a command, or of a client's hello
}

// side is the one that sees an error.
type side string

const (
	atServer side = "server"          // by LostConnCallback, or the log
	atClient side = "client"          // by the end of a command, or of the hello
	atState  side = "`StateCallback`" // the client's
)

// rows are all attacks, as docs/reliability.md lists them.
func rows() []row {
	var all []row
	for _, some := range [][]row{hellos(), frames(), floods(), memories(), sessions(), streams(), lives()} {
		all = append(all, some...)
	}
	return all
}

// TestAttacks mounts each attack twice, the second time with its limit lifted: then the
// test must find fault.
func TestAttacks(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			for _, violation := range r.run(t, limited) {
				t.Error(violation)
			}
			// With its limit lifted each of these must fail: what is counted, and what
			// is seen. Within a rule nothing else may go wrong.
			failed := 0
			for _, violation := range r.run(t, lifted) {
				switch {
				case violation.missing:
					failed++
				case violation.unmoved || r.lift == nil:
					t.Errorf("lifted: %s", violation)
				}
			}
			if failed == 0 {
				t.Error("with its limit lifted the attack passes too: the test can't fail")
			}
		})
	}
}

// TestDrainDuring has the server drain in the middle of each attack.
func TestDrainDuring(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			for _, violation := range r.run(t, draining) {
				t.Error(violation)
			}
		})
	}
}

// TestRows checks the table itself.
func TestRows(t *testing.T) {
	names := map[string]bool{}
	lifts, err := os.ReadFile(filepath.Join(repository, "tools/mutants/lifts.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows() {
		if names[r.name] {
			t.Errorf("%s stands twice", r.name)
		}
		names[r.name] = true
		if (r.lift == nil) == (r.why == "") {
			t.Errorf("%s: either its limit is lifted, or it says why that can't be", r.name)
		}
		if inCode := strings.Contains(string(lifts), fmt.Sprintf("\t%q,", r.name)); inCode != (r.lift == nil) {
			t.Errorf("%s: its limit is to be lifted by a Conf, or by tools/mutants/lifts.go", r.name)
		}
		if len(r.counters) == 0 || len(r.sees) == 0 && r.note == "" {
			t.Errorf("%s: nothing is counted, or nobody sees anything", r.name)
		}
		for _, counter := range r.counters {
			of := reflect.TypeFor[server.Stats]()
			name, ofClient := strings.CutPrefix(counter, ofClients)
			if ofClient {
				of = reflect.TypeFor[client.Stats]()
			}
			if _, has := of.FieldByName(name); !has {
				t.Errorf("%s: %v has no %s", r.name, of, name)
			}
		}
	}
	for _, name := range strings.Split(wanted, "; ") {
		if !names[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// wanted are the attacks and faults that must be there.
const wanted = "stalled hello; TLS handshake flood; descriptors exhausted; connection cap; reconnect storm; " +
	"half-open link; oversized length; bad varint; cut at every byte; flipped bits; one byte a second; " +
	"decompression bomb; deeply nested body; unknown version or kind; ping flood; cancel flood; reset flood; " +
	"credit flood or overflow; tiny credits; slow reader; in-flight exhaustion; session-table exhaustion; " +
	"stolen session id; duplicate or skipped slot; result after last; two connections on one session; " +
	"late frame for a reused slot; server killed before, during and after running a command; " +
	"panic in command, codec, callback; clock jump; long pause of either side; one-way and two-way partition; " +
	"partial writes; old connection's bytes after the new one is up; drain during all of these"
