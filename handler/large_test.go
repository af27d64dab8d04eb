package handler_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

var large = strings.Repeat("x", 200_000)

// The frames of large on slot 0, as a last result.
var largeFrames = []string{"0: 65536 bytes ….", "0: 65536 bytes ….", "0: 65536 bytes ….", "0: 3395 bytes."}

func TestLargeResultsTravelInChunks(t *testing.T) {
	test(t, commands{"large": func(c call) error { c.send(large); return c.last(large) }, "echo": echo}, nil,
		func(t *testing.T, s *setup) {
			s.extras(0, wire.Extras{Credit: 2}, "large")
			want := slices.Clone(largeFrames)
			for _, frame := range largeFrames {
				want = append(want, strings.TrimSuffix(frame, "."))
			}
			s.expect(want...)
			s.command(0, "echo")
			s.expect("0: echo.")
		})
}

func TestSmallResultsPassALargeOne(t *testing.T) {
	test(t, commands{"large": func(c call) error { return c.last(large) }, "echo": echo}, nil,
		func(t *testing.T, s *setup) {
			s.server.SetPlan(memnet.Plan{Cut: memnet.Stall, At: s.server.Written() + 10_000})
			s.command(0, "large")
			s.expect()
			s.command(1, "echo")
			s.expect()
			s.server.SetPlan(memnet.Plan{})
			got := s.take()
			if i := slices.Index(got, "1: echo."); i < 0 || i > 2 || len(got) != 5 {
				t.Errorf("heard %q", got)
			}
		})
}

func TestALargeResultIsCancelledHalfWay(t *testing.T) {
	var sent error
	test(t, commands{"large": func(c call) error { sent = c.last(large); return sent }, "echo": echo}, nil,
		func(t *testing.T, s *setup) {
			s.server.SetPlan(memnet.Plan{Cut: memnet.Stall, At: s.server.Written() + 10_000})
			s.command(0, "large")
			s.expect()
			s.cancel(0)
			s.expect()
			s.server.SetPlan(memnet.Plan{})
			s.command(1, "echo")
			s.expect(
				largeFrames[0], largeFrames[1], "0: .",
				"0: unknown, canceled: the command was canceled while the server was running it", "1: echo.",
			)
			if !errors.Is(sent, base.ErrCommandEnded) {
				t.Errorf("Send returned %v", sent)
			}
			s.command(0, "echo")
			s.expect("0: echo.")
		})
}

func TestALargeResultOfALostConnection(t *testing.T) {
	sent := make(chan error, 1)
	test(t, commands{"large": func(c call) error { sent <- c.last(large); return nil }},
		func(s *setup) { sent = make(chan error, 1) },
		func(t *testing.T, s *setup) {
			s.server.SetPlan(memnet.Plan{Cut: memnet.Stall, At: s.server.Written() + 10_000})
			s.command(0, "large")
			s.expect()
			s.conn.Close(io.ErrClosedPipe, 0)
			if err := <-sent; err == nil {
				t.Error("Send returned nil")
			}
		})
}

func TestACommandMayFollowALargeLastResultAtOnce(t *testing.T) {
	hold := make(chan struct{})
	test(t, commands{"large": func(c call) error { err := c.last(large); <-hold; return err }, "echo": echo},
		func(s *setup) { hold = make(chan struct{}) }, func(t *testing.T, s *setup) {
			for range 3 {
				s.command(0, "large")
				s.expect(slices.Clone(largeFrames)...)
				s.command(0, "echo")
				s.expect("0: echo.")
			}
			close(hold)
		})
}

// Many results wait for room in the send buffer, until the peer reads again, or
// their command ends.
func TestAPeerThatReadsNothing(t *testing.T) {
	var sent error
	body := strings.Repeat("x", 8000)
	test(t, commands{"flood": func(c call) error {
		for {
			if sent = c.send(body); sent != nil {
				return sent
			}
		}
	}, "echo": echo}, nil, func(t *testing.T, s *setup) {
		s.server.Cut(memnet.Stall)
		s.extras(0, wire.Extras{Credit: 1 << 20, Timeout: 5_000_000}, "flood")
		s.command(1, "echo")
		time.Sleep(6 * time.Second)
		settle()
		if !errors.Is(sent, base.ErrDeadline) {
			t.Errorf("Send returned %v", sent)
		}
		time.Sleep(time.Minute)
		if ends := s.ends(); len(ends) != 1 || !errors.Is(ends[0], base.ErrSlowReader) {
			t.Errorf("the connection ended by %v", ends)
		}
	})
}

func TestLargeCommandsTravelInChunks(t *testing.T) {
	body := []byte(strings.Repeat("x", 100_000))
	first := append(wire.AppendUvarint(nil, uint64(len(body))), body[:60_000]...)
	test(t, commands{"echo": echo}, func(s *setup) {
		s.decode = func(name string) (base.Cmd[World], error) {
			return cmd{"", func(c call) error { return c.last(fmt.Sprint(len(name))) }}, nil
		}
	}, func(t *testing.T, s *setup) {
		for range 2 {
			s.write(frame(wire.KindCommand, wire.FlagMore, 0, first))
			s.command(1, "echo") // it need not wait
			s.expect("1: echo.")
			s.write(frame(wire.KindCommand, 0, 0, body[60_000:]))
			s.expect("0: 100000.")
		}
		s.write(frame(wire.KindCommand, wire.FlagMore, 0, first))
		s.cancel(0)
		s.expect("0: rejected, canceled: the command was given up before it was whole")
		s.write(frame(wire.KindCommand, 0, 0, nil))
		s.write(frame(wire.KindCommand, wire.FlagMore, 0, wire.AppendUvarint(nil, 1<<20+1)))
		s.expect("0: rejected, too_large_cmd: the command has 1048577 bytes, the server's MaxCmdSize is 1048576")
		s.write(frame(wire.KindCommand, 0, 0, nil))
		s.command(0, "echo")
		s.expect("0: echo.")
	})
}
