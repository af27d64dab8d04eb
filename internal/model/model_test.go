package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// few tells how many states these tests visit of a scenario. The race detector makes
// copies of states thirty times as slow; make model visits all.
func few() int {
	if raced {
		return 1500
	}
	return 40_000
}

func TestWithEveryRule(t *testing.T) {
	for _, x := range append(scenarios, further...) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if f := explore(x, few(), nil); f.fault != "" || len(f.places) < few() {
				t.Errorf("%d states: %s\n%s", len(f.places), f.fault, strings.Join(f.events, "\n"))
			}
		})
	}
}

// A small scenario can be explored to its end.
func TestToTheEnd(t *testing.T) {
	x := scenario{name: "small", programs: []program{plain}, servers: 1, budget: budget{cuts: 1}}
	f := explore(x, few(), nil)
	if len(f.further) > 0 || f.fault != "" || f.depth < 15 {
		t.Errorf("%d states, %d steps, and %d states further: %s", len(f.places), f.depth, len(f.further), f.fault)
	}
	if f = explore(x, 100, nil); len(f.further) == 0 || len(f.places) < 100 {
		t.Errorf("with a limit of 100 states: %d, and %d further", len(f.places), len(f.further))
	}
}

func TestWithoutARule(t *testing.T) {
	found := 0
	for _, r := range rules {
		f := explore(scenarioNamed(r.scenario), few(), r)
		if f.fault == "" {
			if len(f.further) == 0 {
				t.Errorf("nothing goes wrong without %s", r.name)
			}
			continue // it is further away than this test goes
		}
		found++
		if len(f.events) < 2 {
			t.Errorf("without %s: %s, and the trace is %q", r.name, f.fault, f.events)
		}
	}
	if want := len(rules) / 4; found < want {
		t.Errorf("%d of %d rules were missed, want %d", found, len(rules), want)
	}
}

// What is printed is the shortest way to the fault.
func TestATrace(t *testing.T) {
	var out bytes.Buffer
	if wrong := run(&out, nil, regexp.MustCompile("^N3$"), 10_000); wrong != 0 {
		t.Errorf("%d wrong", wrong)
	}
	const want = `
without N3 (commands): a hello with an old epoch is taken
      1  the client dials server 1, connection 1: session 1, epoch 1
      2  server 1 makes session 1
      3  the client is answered: ok
      4  THE NETWORK cuts connection 1
      5  the client leaves connection 1
      6  the client dials server 1, connection 2: session 1, epoch 2
      7  THE NETWORK cuts connection 2
      8  the client leaves connection 2
      9  the client dials server 1, connection 3: session 1, epoch 3
     10  server 1 resumes session 1 over connection 3
     11  server 1 leaves connection 1
     12  server 1 resumes session 1 over connection 2
     13  server 1 leaves connection 3
         a correct client's newest connection is ended
`
	if got := out.String(); !strings.HasPrefix(got, want) {
		t.Errorf("%s", got)
	}
}

func TestRunTellsWhatIsWrong(t *testing.T) {
	var out bytes.Buffer
	broken := scenario{name: "broken", programs: []program{{results: 0}}, servers: 1}
	if wrong := run(&out, []scenario{broken, scenarios[0]}, regexp.MustCompile("^L2$"), 1000); wrong != 2 {
		t.Errorf("%d wrong", wrong)
	}
	for _, want := range []string{"command 1 waits for ever", "as far as that; there are more", "NOTHING goes wrong"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestAQueueKeepsWhatItIsTold(t *testing.T) {
	var c conn
	q := &c.up
	for n := range uint8(4) {
		c.send(q, message{kind: credit, n: n + 1})
	}
	if x := q.pop(); x.n != 1 {
		t.Errorf("popped %+v", x)
	}
	q.keep(1)
	want := queue{n: 1}
	want.messages[0] = message{kind: credit, n: 2}
	if *q != want { // what is behind must be cleared: states are compared
		t.Errorf("%+v", q)
	}
}
