// Model explores the protocol of sessions, docs/spec.md sections 4, 5, 11 and 12: every
// order in which a client, its servers, and a network that is against them can take
// their steps. It is run by make:
//
//	model [-full] [-rule REGEXP]
//
// First it looks for a state that must not be, with all rules kept: a command that runs
// twice, a result that goes to another command or comes out of order, an outcome that is
// not true, a state from which nobody goes on though something is open, a slot that is
// never free, results that are kept for nobody, a correct client that is disconnected.
// Then it leaves out one rule after another, and shows the shortest way to such a state:
// that is what the rule is there for. It exits with 1 if the first finds anything, or the
// second does not.
//
// A state (state.go) is the client with its slots, the connections with all that is on
// its way, the servers with their sessions, and what the judge has seen. What the client
// does is in client.go, what a server does in server.go, the network in model.go; the
// rules, and the scenarios that are explored, in rules.go.
//
// What is left out: time, so a keepalive is that a dead connection is noticed sometime;
// bodies, but for their pieces; goaway; all principals but a thief's; limits on how much there
// may be.
// A reader or writer that goes on when its connection has ended exists only where the
// rule that it be joined is left out: with the rule, what it has in hand then was either
// dealt with before or never. When the protocol changes, this changes first.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
)

// most is how many states of a scenario are visited at most; memory is the limit.
const most = 40_000_000

func main() {
	full := flag.Bool("full", false, "explore the large scenarios too, for some six minutes and 12 GiB")
	matches := &regexp.Regexp{}
	flag.TextVar(matches, "rule", regexp.MustCompile(""), "leave out only the rules whose name matches, and explore nothing else")
	flag.Parse()
	list := scenarios
	switch {
	case matches.String() != "":
		list = nil
	case *full:
		list = append(list, further...)
	}
	if wrong := run(os.Stdout, list, matches, most); wrong > 0 {
		fmt.Printf("%d of these are not as they should be\n", wrong)
		os.Exit(1)
	}
}

// run explores scenarios with all rules, and then without each that matches, and tells
// how many have not come out as they should.
func run(w io.Writer, list []scenario, matches *regexp.Regexp, limit int) (wrong int) {
	begin, states, tried := time.Now(), 0, 0
	for _, x := range list {
		begin, verdict := time.Now(), "all is well"
		e := explore(x, limit, nil)
		states += len(e.places)
		switch {
		case e.fault != "":
			wrong++
			verdict = "this is wrong:\n" + e.report()
		case len(e.further) > 0:
			verdict = "all is well as far as that; there are more"
		}
		fmt.Fprintf(w, "with every rule: %-12s %10d states, %2d steps, %5.1f s  %s\n", x.name, len(e.places), e.depth, time.Since(begin).Seconds(), verdict)
	}
	for _, r := range rules {
		if !matches.MatchString(r.name) {
			continue
		}
		tried++
		e := explore(scenarioNamed(r.scenario), limit, r)
		states += len(e.places)
		if e.fault == "" {
			wrong++
			e.fault = "NOTHING goes wrong"
		}
		fmt.Fprintf(w, "\nwithout %s (%s): %s\n%s\n", r.name, r.scenario, r.says, e.report())
	}
	fmt.Fprintf(w, "\n%d scenarios, %d rules left out, %d states, %.0f s\n", len(list), tried, states, time.Since(begin).Seconds())
	return wrong
}
