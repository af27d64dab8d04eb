package main

import (
	"fmt"
	"slices"
)

// model takes the steps that are possible in a state.
type model struct {
	scenario
	without *rule // nil: all are kept
	steps   []func(s *state) bool
	fault   string // what the last step has violated
	tracing bool
	events  []string
}

// newModel lists the steps of a scenario. Each tells whether it is possible in a state;
// if not, it leaves that as it was.
func newModel(x scenario, without *rule) *model {
	m := &model{scenario: x, without: without}
	m.add(1, m.begins)
	m.add(m.servers, m.dials, m.restarts)
	m.add(slots, m.sendsAgain, m.sendsPiece, m.sendsInput, m.takesResult, m.givesUp)
	m.add(conns, m.writes, m.clientNotices, m.serverNotices, m.clientReads, m.serverReads, m.serverRejects, m.cutsOff)
	m.add(sessions*slots, m.sendsResult)
	m.add(sessions, m.evicts)
	return m
}

// add lists steps of each of several servers, slots, connections or sessions: from 0.
func (m *model) add(several uint8, steps ...func(s *state, i uint8) bool) {
	for i := range several {
		for _, step := range steps {
			m.steps = append(m.steps, func(s *state) bool { return step(s, i) && s.tidies() })
		}
	}
}

// start is the first state.
func (x *scenario) start() state {
	return state{budget: x.budget}
}

// lacks tells whether a rule is left out.
func (m *model) lacks(r *rule) bool {
	return m.without == r
}

// say notes what happens, for a trace. It returns true.
func (m *model) say(format string, args ...any) bool {
	if m.tracing {
		m.events = append(m.events, fmt.Sprintf(format, slices.Clone(args)...)) // the clone keeps args off the heap
	}
	return true
}

// wrong notes that a property is violated; the first one counts.
func (m *model) wrong(format string, args ...any) {
	if m.fault == "" {
		m.fault = fmt.Sprintf(format, slices.Clone(args)...)
	}
}

// tidies frees the places of connections that are of no use any more. It returns true.
func (s *state) tidies() bool {
	for i := range s.conns {
		if c := &s.conns[i]; c.clientLeft && c.serverLeft && c.up.n == 0 && c.down.n == 0 {
			*c = conn{}
		}
	}
	return true
}

// writes lets what the client has appended leave it.
func (m *model) writes(s *state, i uint8) bool {
	c := &s.conns[i]
	if c.written == c.up.n || c.cut {
		return false
	}
	for _, x := range c.up.messages[c.written:c.up.n] {
		if x.kind == command {
			s.slots[x.slot].wrote = true
		}
	}
	c.written = c.up.n
	return m.say("connection %d takes what the client has to write", c.number)
}

func (m *model) cutsOff(s *state, i uint8) bool {
	c := &s.conns[i]
	if s.cuts == 0 || c.number == 0 || c.cut || c.clientLeft || c.serverLeft {
		return false
	}
	s.cuts--
	c.cut = true
	return m.say("THE NETWORK cuts connection %d", c.number)
}

// ended says whether all is as it should be in a state from which nobody goes on.
func (m *model) ended(s *state) (fault string) {
	for i := range m.programs {
		if s.fates[i].outcome <= open {
			return fmt.Sprintf("command %d waits for ever", i+1)
		}
	}
	for i, x := range s.slots {
		if x.command != 0 {
			return fmt.Sprintf("slot %d is never free again", i)
		}
	}
	if s.conn == 0 {
		return "" // what sessions are left end by themselves
	}
	for _, r := range s.sessions[s.session-1].records {
		switch {
		case r.running:
			return fmt.Sprintf("command %d runs for ever, for nobody", r.command)
		case r.command != 0 && m.programs[r.command-1].large && r.released(m) < r.sent:
			return fmt.Sprintf("the large results of command %d are kept for nobody", r.command)
		}
	}
	return ""
}
