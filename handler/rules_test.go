package handler_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

func TestBrokenRules(t *testing.T) {
	for name, c := range map[string]struct {
		want string
		act  func(s *setup)
	}{
		"a command on an occupied slot": {
			"a command came on slot 3, where command 1 is open",
			func(s *setup) { s.command(3, "wait"); s.command(3, "echo") },
		},
		"a seq again": {
			"command 1 came on slot 0 after command 1",
			func(s *setup) { s.command(0, "echo"); settle(); s.extras(0, wire.Extras{Seq: 1}, "echo") },
		},
		"a lower seq": {
			"command 7 came on slot 0 after command 9",
			func(s *setup) {
				s.extras(0, wire.Extras{Seq: 9}, "echo")
				settle()
				s.extras(0, wire.Extras{Seq: 7}, "echo")
			},
		},
		"a lower seq after a refusal": {
			"command 7 came on slot 0 after command 9",
			func(s *setup) {
				s.extras(0, wire.Extras{Seq: 9}, "unknown")
				settle()
				s.extras(0, wire.Extras{Seq: 7}, "echo")
			},
		},
		"a slot beyond the limit": {
			"slot 8 is beyond the limit of 8",
			func(s *setup) { s.command(8, "echo") },
		},
		"a flood of cancels": {
			"1065 acks, cancels, credits and inputs came that say nothing, with 1 commands",
			func(s *setup) {
				s.command(0, "echo")
				settle()
				for range 1065 {
					s.write(frame(wire.KindCancel, 0, 0, nil))
				}
			},
		},
		"an unknown kind": {"unknown kind", func(s *setup) { s.write([]byte{0xf0, 0, 0}) }},
		"a result":        {"a client sent a frame of kind result", func(s *setup) { s.write(frame(wire.KindResult, 0, 0, nil)) }},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, commands{"echo": echo, "wait": waiter}, nil, func(t *testing.T, s *setup) {
				c.act(s)
				ends := s.ends()
				if len(ends) != 1 || !errors.Is(ends[0], base.ErrProtocol) || !strings.Contains(ends[0].Error(), c.want) {
					t.Errorf("the connection ended by %v", ends)
				}
				if s.end() != io.EOF || s.conn.Running() != 0 {
					t.Errorf("the client read %v, %d commands are running", s.end(), s.conn.Running())
				}
			})
		})
	}
}

func TestSeqsMayLeaveGaps(t *testing.T) {
	var seqs []base.Seq
	test(t, commands{"note": func(c call) error { seqs = append(seqs, c.seq); return c.last("") }}, nil,
		func(t *testing.T, s *setup) {
			s.command(0, "note")
			s.expect("0: .")
			s.extras(0, wire.Extras{Seq: 100}, "note")
			s.expect("0: .")
			s.extras(1, wire.Extras{Seq: 50}, "note") // another slot: it may have waited there
			s.expect("1: .")
			s.command(0, "note")
			if ends := s.ends(); len(ends) != 1 || !errors.Is(ends[0], base.ErrProtocol) {
				t.Errorf("seq 51 was taken on a slot that had 100: %v", ends)
			}
			if len(seqs) != 3 || seqs[1] != 100 || seqs[2] != 50 {
				t.Errorf("seqs %v", seqs)
			}
		})
}

// As many messages as can have crossed the end of a command do no harm.
// A command that was rejected may come once more, though its record serves others by then.
func TestARejectedCommandMayComeOnceMore(t *testing.T) {
	test(t, commands{"fine": func(c call) error { return c.last("fine") }}, nil, func(t *testing.T, s *setup) {
		s.extras(0, wire.Extras{Seq: 1}, "unknown")
		settle()
		s.extras(0, wire.Extras{Seq: 1}, "fine")
		settle()
		if got := s.take(); len(got) != 2 || len(s.ends()) != 0 {
			t.Errorf("the client was told %v, and the connection ended by %v", got, s.ends())
		}
	})
}

// A Proxy that was kept is told from that of a later command, even if a client gives two
// commands the same Seq.
func TestAProxyIsNeverAnothers(t *testing.T) {
	var kept call
	test(t, commands{
		"keep":  func(c call) error { kept = c; return c.last("mine") },
		"other": func(c call) error { time.Sleep(time.Second); return c.last("yours") },
	}, nil, func(t *testing.T, s *setup) {
		s.extras(0, wire.Extras{Seq: 1}, "keep")
		settle()
		s.extras(1, wire.Extras{Seq: 1}, "other")
		settle()
		if err := kept.Send(kept.seq, result{text: "stale", last: true}); !errors.Is(err, base.ErrCommandEnded) {
			t.Errorf("it sent a result of another command: %v", err)
		}
		time.Sleep(2 * time.Second)
	})
}

func TestStraysWithinTheirBudget(t *testing.T) {
	test(t, commands{"echo": echo}, nil, func(t *testing.T, s *setup) {
		s.command(0, "echo")
		settle()
		for range 1064 {
			s.write(frame(wire.KindCredit, 0, 0, []byte{1}))
		}
		s.command(0, "echo")
		settle()
		if ends := s.ends(); len(ends) > 0 {
			t.Errorf("the connection ended by %v", ends)
		}
	})
}

// Frames may cross the last frame of their command.
func TestWhatComesForEndedCommandsIsDropped(t *testing.T) {
	test(t, commands{"echo": echo, "count": count(2)}, nil, func(t *testing.T, s *setup) {
		s.cancel(5) // of a slot that was never used
		s.credit(5, 3)
		s.command(0, "echo")
		s.expect("0: echo.")
		s.cancel(0)
		s.credit(0, 100)
		s.command(0, "count") // gets nothing of that credit
		s.expect("0: 1")
		s.credit(0, 1)
		s.expect("0: 2.")
		if len(s.ends()) != 0 {
			t.Error("the connection has ended")
		}
	})
}

// A cancel that crosses the last result does not disturb what the command does
// afterwards.
func TestACancelThatCrossesTheLastResult(t *testing.T) {
	var err error
	test(t, commands{"on": func(c call) error {
		c.last("done")
		time.Sleep(time.Second)
		err = c.ctx.Err()
		return nil
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "on")
		s.expect("0: done.")
		s.cancel(0)
		time.Sleep(time.Second)
		s.expect()
		if err != nil {
			t.Errorf("the ctx ended by %v", err)
		}
	})
}

func TestRefusedCommandsEndAlone(t *testing.T) {
	test(t, commands{"echo": echo, "wait": func(c call) error {
		<-c.ctx.Done()
		return nil
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "wait")
		s.command(1, "unknown")
		s.command(3, "echo")
		s.expect("1: rejected, unknown_cmd: no command unknown", "3: echo.")
		s.command(1, "echo")
		s.expect("1: echo.")
	})
}
