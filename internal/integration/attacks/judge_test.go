package attacks

import (
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// TestTheJudge mounts attacks that do harm, each in one way: all that the arena looks for
// is found.
func TestTheJudge(t *testing.T) {
	var leaked []byte
	for want, attack := range map[string]func(*arena){
		"a neighbour's command ended as": func(a *arena) {
			a.neighbours[0].c.Close()
			a.halfway++
		},
		"a neighbour's command took": func(a *arena) {
			a.neighbours[1].nc.(*memnet.Conn).SetPlan(memnet.Plan{Delay: 2 * slowest})
			a.middle()
		},
		"neighbour 1 does not get on": func(a *arena) {
			a.neighbours[1].nc.(*memnet.Conn).SetPlan(memnet.Plan{Delay: 2 * settleTime})
			a.middle()
		},
		"goroutines, 1 more than before": func(a *arena) {
			a.middle()
			go func() { <-a.neighbours[0].ended }()
		},
		"the heap holds": func(a *arena) {
			a.middle()
			leaked = make([]byte, 2*heapSlack)
		},
		"the attack has 0 middles":     func(*arena) {},
		"Floods did not count":         func(a *arena) { a.middle() },
		"server has not seen \"idle\"": func(a *arena) { a.middle() },
	} {
		r := row{attack: attack, counters: []string{"Floods"}, sees: []sight{{atServer, base.ErrIdle, base.Unknown}}}
		found := r.run(t, limited)
		ok := false
		for _, violation := range found {
			ok = ok || strings.Contains(violation.String(), want)
		}
		if !ok {
			t.Errorf("%q is not found, but %q", want, found)
		}
	}
	if len(leaked) == 0 {
		t.Error("nothing was leaked")
	}
}

// A server whose Shutdown waits for an attacker is found, and commands that hang then.
func TestTheJudgeOfADrain(t *testing.T) {
	for want, attack := range map[string]func(*arena){
		"Shutdown took": func(a *arena) {
			a.middle()
			<-a.shutdown
			a.shutdown <- 2 * drainTime
		},
		"Shutdown does not return": func(a *arena) {
			a.middle()
			<-a.shutdown
		},
		"a neighbour's command ended as unknown": func(a *arena) {
			for _, n := range a.neighbours {
				n.nc.(*memnet.Conn).Cut(memnet.Stall)
			}
			time.Sleep(settleTime) // their commands are on their way
			a.middle()
		},
	} {
		r := row{attack: attack}
		found := r.run(t, draining)
		ok := false
		for _, violation := range found {
			ok = ok || strings.Contains(violation.String(), want)
		}
		if !ok {
			t.Errorf("%q is not found, but %q", want, found)
		}
	}
}
