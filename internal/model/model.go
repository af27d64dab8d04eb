package main

import "fmt"

// model takes the steps that are possible in a state. Each step is a function that
// changes a copy of the state, and tells whether it was possible.
type model struct {
	scenario
	without *rule // nil: all are kept

	next    state // after the step
	visit   func()
	moved   bool   // a step was possible that is not the adversary's
	fault   string // what the step has violated
	tracing bool
	events  []string // of the step
}

// lacks tells whether a rule is left out.
func (m *model) lacks(r *rule) bool {
	return m.without != nil && (m.without == r || m.without.besides == r)
}

// say notes what happens, for a trace. It returns true.
func (m *model) say(format string, args ...uint8) bool {
	if m.tracing {
		m.events = append(m.events, text(format, args))
	}
	return true
}

// wrong notes that a property is violated; the first one counts.
func (m *model) wrong(format string, args ...uint8) {
	if m.fault == "" {
		m.fault = text(format, args)
	}
}

func text(format string, args []uint8) string {
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = a
	}
	return fmt.Sprintf(format, values...)
}

// steps visits all that can come after s.
func (m *model) steps(s *state) {
	m.moved = false
	try := func(adverse bool, step func(s *state) bool) {
		m.next, m.fault, m.events = *s, "", m.events[:0]
		if step(&m.next) {
			m.moved = m.moved || !adverse
			m.visit()
		}
	}
	try(false, m.sendsList)
	try(false, m.begins)
	for server := range m.servers {
		try(false, func(s *state) bool { return m.dials(s, server) })
		try(true, func(s *state) bool { return m.restarts(s, server) })
	}
	for i := range uint8(slots) {
		if s.slots[i].command == 0 {
			continue
		}
		try(false, func(s *state) bool { return m.sendsAgain(s, i) })
		try(false, func(s *state) bool { return m.sendsPiece(s, i) })
		try(false, func(s *state) bool { return m.sendsInput(s, i) })
		try(false, func(s *state) bool { return m.takesResult(s, i) })
		try(!m.programs[s.slots[i].command-1].endless, func(s *state) bool { return m.givesUp(s, i) })
		try(true, func(s *state) bool { return m.cancelsLate(s, i) })
	}
	for number := uint8(1); number <= conns; number++ {
		if !s.conns[number-1].used {
			continue
		}
		try(false, func(s *state) bool { return m.writes(s, number) })
		try(false, func(s *state) bool { return m.clientNotices(s, number) })
		try(false, func(s *state) bool { return m.serverNotices(s, number) })
		try(false, func(s *state) bool { return m.clientReads(s, number) })
		try(false, func(s *state) bool { return m.serverReads(s, number, false) })
		try(true, func(s *state) bool { return m.serverReads(s, number, true) })
		try(true, func(s *state) bool { return m.cutsOff(s, number) })
	}
	for server := range m.servers {
		for id := uint8(1); id <= s.ids; id++ {
			if !s.sessions[server][id-1].held {
				continue
			}
			for i := range uint8(slots) {
				try(false, func(s *state) bool { return m.sendsResult(s, server, id, i) })
			}
			try(true, func(s *state) bool { return m.evicts(s, server, id) })
		}
	}
}

// writes lets what the client has appended leave it.
func (m *model) writes(s *state, number uint8) bool {
	c := &s.conns[number-1]
	if c.written == c.up.n || c.cut {
		return false
	}
	for _, x := range c.up.messages[c.written:c.up.n] {
		if x.kind == command {
			s.slots[x.slot].wrote = true
		}
	}
	c.written = c.up.n
	return m.say("connection %d takes what the client has to write", number)
}

func (m *model) cutsOff(s *state, number uint8) bool {
	c := &s.conns[number-1]
	if s.cuts == 0 || c.cut || c.clientLeft || c.serverLeft {
		return false
	}
	s.cuts--
	c.cut = true
	return m.say("THE NETWORK cuts connection %d", number)
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
	for _, r := range s.sessions[s.conns[s.conn-1].server][s.session-1].records {
		switch {
		case r.running:
			return fmt.Sprintf("command %d runs for ever, for nobody", r.command)
		case r.command != 0 && m.programs[r.command-1].large && r.released(m) < r.sent:
			return fmt.Sprintf("the large results of command %d are kept for nobody", r.command)
		}
	}
	return ""
}
