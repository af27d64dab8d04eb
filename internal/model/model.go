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
	fault   string // what is wrong after the last step; "": nothing
	tracing bool
	events  []string
}

// newModel lists the steps of a scenario. Each tells whether it is possible in a state;
// if not, it leaves that as it was.
func newModel(x scenario, without *rule) *model {
	m := &model{scenario: x, without: without}
	m.programs = append([]program{{}}, x.programs...) // that of no command, and theirs
	reads := func(s *state, i uint8) bool { return m.serverReads(s, i, false) }
	rejects := func(s *state, i uint8) bool { return s.rejections > 0 && m.serverReads(s, i, true) }
	m.add(1, m.begins)
	m.add(m.servers, m.dials, m.steals)
	m.add(slots, m.sendsAgain, m.sendsPiece, m.sendsInput, m.takesResult, m.givesUp)
	m.add(conns, m.writes, m.clientNotices, m.serverNotices, m.clientReads, reads, rejects, m.cutsOff)
	m.add(sessions*slots, m.sendsResult)
	m.add(sessions, m.evicts, m.restarts)
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

// lacks tells whether a rule is left out.
func (m *model) lacks(r *rule) bool {
	return m.without == r || m.without != nil && m.without.besides == r
}

// say notes what happens, for a trace. It returns true.
func (m *model) say(format string, args ...any) bool {
	if m.tracing {
		m.events = append(m.events, fmt.Sprintf(format, slices.Clone(args)...)) // the clone keeps args off the heap
	}
	return true
}

// judge notes what is wrong if a property does not hold; the first one counts.
func (m *model) judge(holds bool, format string, args ...any) {
	if !holds && m.fault == "" {
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

// ended judges a state from which nobody goes on.
func (m *model) ended(s *state) {
	for i := 1; i < len(m.programs); i++ {
		m.judge(s.fates[i].outcome > open, "command %d waits for ever", i)
	}
	for i, x := range s.slots {
		m.judge(x.command == 0, "slot %d is never free again", i)
	}
	if s.conn == 0 {
		return // what sessions are left end by themselves
	}
	for _, r := range s.sessions[s.session-1].records {
		m.judge(!r.running, "command %d runs for ever, for nobody", r.command)
		m.judge(!m.programs[r.command].large || r.released(m) == r.sent, "the large results of command %d are kept for nobody", r.command)
	}
}
