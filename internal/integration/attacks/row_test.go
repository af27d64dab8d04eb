// Package attacks mounts attacks and faults against servers and clients, one by one,
// beside clients that do nothing wrong: docs/reliability.md is its table. Each must be
// counted, must end as its row says, and must harm nobody else. Each is mounted once
// more with its limit lifted, and then the test itself must fail.
package attacks

import (
	"reflect"
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
}

// row is an attack, or a fault.
type row struct {
	name string
	// limit says what bounds it, in words.
	limit string
	// conf sets the limits, so low that the attack is short. lift raises them again.
	// Without lift the attack, when it is told that it is lifted, keeps within the
	// rule: then nobody may be cut, and nothing counted. why says why no Conf will do.
	conf func(*limits)
	lift func(*limits)
	why  string
	// attack mounts it, and returns when it has had its effect, or patience is over.
	attack func(*arena)
	// counters are the fields of server.Stats that must rise; none: there is nothing
	// to count at the server.
	counters []string
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
	outcome base.Outcome // of a command; for a client
}

// side is the one that sees an error: the server's user, by LostConnCallback or the
// log, or a client's.
type side string

const (
	atServer side = "server"
	atClient side = "client"
)

// rows are all attacks, as docs/reliability.md lists them.
func rows() []row {
	var all []row
	for _, some := range [][]row{hellos(), frames(), floods(), memories(), sessions(), lives()} {
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
			found := r.run(t, lifted)
			if len(found) == 0 {
				t.Error("with its limit lifted the attack passes too: the test can't fail")
			}
			for _, violation := range found {
				if r.lift == nil && !violation.missing {
					t.Errorf("within the rule: %s", violation)
				}
			}
			t.Logf("lifted: %q", found)
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
	stats := reflect.TypeFor[server.Stats]()
	for _, r := range rows() {
		if names[r.name] {
			t.Errorf("%s stands twice", r.name)
		}
		names[r.name] = true
		if (r.lift == nil) == (r.why == "") {
			t.Errorf("%s: either its limit is lifted, or it says why that can't be", r.name)
		}
		if len(r.counters)+len(r.sees) == 0 {
			t.Errorf("%s: nothing is counted, and nobody sees anything", r.name)
		}
		for _, counter := range r.counters {
			if _, has := stats.FieldByName(counter); !has {
				t.Errorf("%s: server.Stats has no %s", r.name, counter)
			}
		}
	}
}
