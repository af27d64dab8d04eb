package handler_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// gated is commands that wait for their gate before each result but the first.
func gated(gate <-chan struct{}, n int) commands {
	return commands{"gated": func(c call) error {
		for i := range n {
			if i > 0 {
				<-gate
			}
			if err := c.Send(c.seq, result{text: fmt.Sprint(i + 1), last: i == n-1}); err != nil {
				return err
			}
		}
		return nil
	}, "echo": echo, "wait": waiter, "count": count(3), "fail": func(c call) error {
		c.send("1")
		return io.ErrNoProgress
	}}
}

// L1: before its list a client sends pings and nothing else.
func TestNothingComesBeforeTheList(t *testing.T) {
	for name, b := range map[string][]byte{
		"a command": frame(wire.KindCommand, wire.FlagExtras, 1, append(wire.AppendExtras(nil, wire.Extras{Seq: 9}), "echo"...)),
		"a cancel":  frame(wire.KindCancel, 0, 0, nil),
		"a credit":  frame(wire.KindCredit, 0, 0, []byte{1}),
		"an ack":    frame(wire.KindAck, 0, 0, []byte{1}),
		"an input":  frame(wire.KindInput, 0, 0, nil),
		"a goaway":  frame(wire.KindGoaway, 0, 0, []byte{0}),
	} {
		t.Run(name, func(t *testing.T) {
			withHost(t, commands{"wait": waiter, "echo": echo}, nil, func(t *testing.T, h *host) {
				v := h.open(1)
				v.send(0, 1, 1, "wait")
				settle()
				v.cut()
				v.again()
				v.write([]byte{wire.Ping})
				v.expect("pong")
				v.write(b)
				h.broken("a resumed session begins with the list of open slots")
				v.resume(stands(0, 1, 0, 1)) // no harm was done
				v.expect("list 0:seen,0+8")
			})
		})
	}
}

// L1: there is one list, on a resumed connection.
func TestAListIsForAResume(t *testing.T) {
	for name, act := range map[string]func(h *host){
		"without a session":    func(h *host) { h.guest().list(wire.FlagLast) },
		"of a session's first": func(h *host) { h.open(1).list(wire.FlagLast) },
		"again": func(h *host) {
			v := h.open(1)
			v.cut()
			v.resume()
			v.list(wire.FlagLast)
		},
	} {
		t.Run(name, func(t *testing.T) {
			withHost(t, nil, nil, func(t *testing.T, h *host) {
				act(h)
				h.broken("the client has resumed no session here")
			})
		})
	}
}

// L1: a list may come in several frames.
func TestAListInPieces(t *testing.T) {
	withHost(t, commands{"wait": waiter}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "wait")
		v.send(3, 2, 1, "wait")
		settle()
		v.cut()
		v.again()
		v.list(0, stands(0, 1, 0, 1))
		v.expect()
		v.list(0, stands(3, 2, 0, 1))
		v.list(wire.FlagLast)
		v.expect("list 0:seen,0+8 3:seen,0+8")
	})
}

// L2: what is not listed was seen.
func TestWhatIsNotListedIsReleased(t *testing.T) {
	big := strings.Repeat("x", 2000)
	withHost(t, commands{"big": func(c call) error { return c.last(big) }}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		for slot := range 3 {
			v.send(slot, uint64(slot+1), 1, "big")
			settle()
		}
		v.cut()
		if !h.Waiting() || h.KeptBytes() != 6000 {
			t.Errorf("%d bytes are kept", h.KeptBytes())
		}
		v.resume(stands(1, 2, 0, 1))
		v.inOrder("list 1:seen,0+8", "1: 2000 bytes.")
		if n := h.KeptBytes(); n != 2000 {
			t.Errorf("%d bytes are kept", n)
		}
		v.cut()
		v.resume()
		v.expect("list")
		v.cut()
		if h.Waiting() || h.KeptBytes() != 0 {
			t.Errorf("there is something for the client: %v, %d bytes", h.Waiting(), h.KeptBytes())
		}
	})
}

// L3: the list comes before what it is about; and so do L6 and L7: after it come the
// results that were not seen, with the credit that was given.
func TestResultsGoOnAfterAResume(t *testing.T) {
	gate := make(chan struct{})
	withHost(t, nil, func(conf *handler.Conf[World]) {
		gate = make(chan struct{})
		conf.Codec = codec{commands: gated(gate, 5)}
	}, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 2, "gated")
		v.send(1, 2, 3, "count")
		v.send(2, 3, 3, "fail")
		v.expect("0: 1", "1: 1", "1: 2", "1: 3.", "2: 1", "2: failed, exec: multiple Read calls return no data or error")
		v.cut()
		gate <- struct{}{}
		v.resume(stands(0, 1, 1, 1), stands(1, 2, 1, 2), stands(2, 3, 1, 2))
		v.inOrder("list 0:seen,0+8 1:seen,0+8 2:seen,0+8", "0: 2", "1: 2", "1: 3.", "2: failed, exec: multiple Read calls return no data or error")
		gate <- struct{}{}
		v.expect() // there is no credit for the third
		v.credit(0, 1)
		v.expect("0: 3")
		v.credit(0, 1)
		v.cut()                      // whether that has come or not,
		v.resume(stands(0, 1, 3, 2)) // two more may come now
		v.expect("list 0:seen,0+8")
		gate <- struct{}{}
		gate <- struct{}{}
		v.inOrder("0: 4", "0: 5.")
	})
}

// L4, L8, S3: what has not come whole, and what was rejected, is unseen, and comes
// again with its seq. If it was canceled, its slot is free.
func TestWhatHasNotComeIsUnseen(t *testing.T) {
	ran := 0
	withHost(t, commands{"echo": func(c call) error { ran++; return c.last("echo") }}, func(*handler.Conf[World]) { ran = 0 }, func(t *testing.T, h *host) {
		v := h.open(1)
		v.write(frame(wire.KindCommand, wire.FlagMore, 0, append([]byte{4}, "ec"...))) // seq 1
		v.command(1, "unknown")
		v.command(2, "echo") // seq 3
		v.expect("1: rejected, unknown_cmd: no command unknown", "2: echo.")
		v.cut()
		canceled := stands(3, 4, 0, 1)
		canceled.Canceled = true
		v.resume(stands(0, 1, 0, 1), stands(1, 2, 0, 1), stands(2, 9, 0, 1), canceled)
		v.expect("list 0:unseen 1:unseen 2:unseen 3:unseen")
		v.cancel(0) // L9: it is dropped, as a credit and an input are
		v.credit(0, 1)
		v.input(0, "x")
		v.send(0, 1, 1, "echo")
		v.send(1, 2, 1, "echo")
		v.send(3, 5, 1, "echo")
		v.expect("0: echo.", "1: echo.", "3: echo.")
		if ran != 4 {
			t.Errorf("%d commands ran", ran)
		}
		v.send(1, 2, 1, "echo") // it was run by now
		h.broken("command 2 came on slot 1 after command 2")
	})
}

// L2, L5, L6: lists that can't be.
func TestListsThatBreakARule(t *testing.T) {
	for name, c := range map[string]struct {
		list []wire.ClientSlot
		rule string
	}{
		"an open one is missing":      {[]wire.ClientSlot{stands(0, 3, 1, 2)}, "command 4 on slot 1 is open, and not in the client's list"},
		"one before is missing":       {[]wire.ClientSlot{stands(0, 3, 1, 2), stands(2, 5, 0, 1)}, "command 4 on slot 1 is open, and not in the client's list"},
		"a lower seq":                 {[]wire.ClientSlot{stands(0, 3, 1, 2), stands(1, 3, 0, 1)}, "command 3 is listed on slot 1, where command 4 has come"},
		"a lower seq of an old one":   {[]wire.ClientSlot{stands(0, 2, 0, 1), stands(1, 4, 0, 1)}, "command 2 is listed on slot 0, where command 3 has come"},
		"a higher seq on an open one": {[]wire.ClientSlot{stands(0, 3, 1, 2), stands(1, 5, 0, 1)}, "command 5 is listed on slot 1, where command 4 is open"},
		"seen above what was sent":    {[]wire.ClientSlot{stands(0, 3, 4, 0), stands(1, 4, 0, 1)}, "of command 3 the client has seen 4 results, of 1 to 3"},
		"seen below what was acked":   {[]wire.ClientSlot{stands(0, 3, 0, 3), stands(1, 4, 0, 1)}, "of command 3 the client has seen 0 results, of 1 to 3"},
	} {
		t.Run(name, func(t *testing.T) {
			withHost(t, commands{"count": count(3), "wait": waiter}, nil, func(t *testing.T, h *host) {
				v := h.open(1)
				v.send(0, 3, 3, "count")
				v.send(1, 4, 1, "wait")
				settle()
				v.ack(0, 1)
				settle()
				v.cut()
				v.again()
				v.list(wire.FlagLast, c.list...)
				h.broken(c.rule)
				if h.Running() != 1 {
					t.Error("the session has ended with the connection")
				}
				v.resume(stands(0, 3, 1, 2), stands(1, 4, 0, 1))
				v.inOrder("list 0:seen,0+8 1:seen,0+8", "0: 2", "0: 3.")
			})
		})
	}
}

// L8: a cancel that did not get through is in the list.
func TestACancelInTheList(t *testing.T) {
	ended := 0
	withHost(t, commands{"echo": echo, "wait": func(c call) error {
		<-c.ctx.Done()
		ended++
		return nil
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "wait")
		v.send(1, 2, 1, "echo")
		settle()
		v.cut()
		list := []wire.ClientSlot{stands(0, 1, 0, 1), stands(1, 2, 0, 1)}
		list[0].Canceled, list[1].Canceled = true, true
		v.resume(list...)
		v.inOrder("list 0:seen,0+8 1:seen,0+8", "0: unknown, canceled: the command was canceled while the server was running it", "1: echo.")
		if ended != 1 {
			t.Error("the ctx has not ended")
		}
	})
}

// L10: new commands follow the list at once.
func TestNewCommandsFollowTheList(t *testing.T) {
	withHost(t, commands{"echo": echo}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.cut()
		v.resume()
		v.send(7, 1, 1, "echo")
		v.inOrder("list", "7: echo.")
	})
}

// A large result that was cut half-way comes again, whole.
func TestALargeResultComesAgain(t *testing.T) {
	withHost(t, commands{"big": func(c call) error {
		c.send(strings.Repeat("x", 3<<20))
		return c.last("end")
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 9, "big")
		for range 3 {
			settle()
			v.cut()
			v.resume(stands(0, 1, 0, 9))
			got := v.take()
			if len(got) != 51 || got[0] != "list 0:seen,0+8" || got[50] != "0: end." {
				t.Errorf("heard %d frames, the last %q", len(got), got[len(got)-1])
			}
		}
		v.cut()
		v.resume(stands(0, 1, 1, 8))
		v.inOrder("list 0:seen,0+8", "0: end.")
	})
}

// What is sent while nobody reads goes on with the next connection.
func TestResultsWhileThePeerTakesNothing(t *testing.T) {
	withHost(t, commands{"much": func(c call) error {
		for range 300 {
			if err := c.send(strings.Repeat("x", 1000)); err != nil {
				return err
			}
		}
		return c.last("end")
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.far.Cut(memnet.Stall)
		v.send(0, 1, 1000, "much")
		settle()
		v.cut()
		v.resume(stands(0, 1, 100, 900))
		if got := v.take(); len(got) != 202 || got[201] != "0: end." {
			t.Errorf("heard %d frames", len(got))
		}
	})
}

// Q1: an ack releases what came before, and credit does not.
func TestWhatIsReleased(t *testing.T) {
	withHost(t, commands{"big": func(c call) error {
		for range 10 {
			if err := c.send(strings.Repeat("x", 2000)); err != nil {
				return err
			}
		}
		return nil
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		for _, step := range []struct {
			act  func()
			kept int
		}{
			{func() { v.send(0, 1, 6, "big") }, 6},
			{func() { v.ack(0, 2) }, 4},
			{func() { v.ack(0, 1) }, 4},    // an old one
			{func() { v.credit(0, 1) }, 5}, // one more was sent
			{func() { v.credit(0, 2) }, 7}, // two more
			{func() { v.ack(0, 9) }, 0},
			{func() { v.cancel(0) }, 0},
		} {
			step.act()
			settle()
			if n := h.KeptBytes(); n != step.kept*2000 {
				t.Errorf("%d bytes are kept, want %d results", n, step.kept)
			}
		}
	})
}

// Q4: acks of what was not sent.
func TestAcksThatBreakARule(t *testing.T) {
	for name, act := range map[string]func(v *visitor){
		"an ack of 2 results came on slot 0, where 1 were sent": func(v *visitor) { v.ack(0, 2) },
		"an ack of 1 results came on slot 1, where 0 were sent": func(v *visitor) { v.ack(1, 1) },
		"an ack came on slot 2, where nothing was sent":         func(v *visitor) { v.ack(2, 1) },
		"an ack of 4 results came on slot 3, where 3 were sent": func(v *visitor) {
			v.ack(3, 3) // it has ended: that is no reason not to
			v.ack(3, 4)
		},
	} {
		t.Run(name, func(t *testing.T) {
			gate := make(chan struct{})
			withHost(t, gated(gate, 2), func(*handler.Conf[World]) {}, func(t *testing.T, h *host) {
				v := h.open(1)
				v.send(0, 1, 1, "count")
				v.send(1, 2, 1, "wait")
				v.send(3, 3, 3, "count")
				settle()
				act(v)
				h.broken(name)
			})
		})
	}
	withHost(t, commands{"echo": echo}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "echo")
		settle()
		v.ack(0, 1)
		h.broken("an ack came on slot 0, where nothing was sent") // it has no session
	})
}

// Q3: the next command on a slot releases what the slot had.
func TestTheNextCommandReleasesTheSlot(t *testing.T) {
	withHost(t, commands{"big": func(c call) error { return c.last(strings.Repeat("x", 2000)) }}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		for seq := range uint64(5) {
			v.send(0, seq+1, 1, "big")
			settle()
		}
		if n := h.KeptBytes(); n != 2000 {
			t.Errorf("%d bytes are kept", n)
		}
		v.send(0, 6, 1, "unknown")
		settle()
		if n := h.KeptBytes(); n != 0 {
			t.Errorf("%d bytes are kept", n)
		}
	})
}

// Q5: a command waits for room, and goes on after an ack, or ends with its ctx.
func TestACommandWaitsForRoom(t *testing.T) {
	var err error
	withHost(t, commands{"big": func(c call) error {
		for range 3 {
			if err = c.send(strings.Repeat("x", 2000)); err != nil {
				return err
			}
		}
		return c.last("end")
	}, "echo": echo}, func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes = 5000 }, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 9, "big")
		v.expect("0: 2000 bytes", "0: 2000 bytes")
		v.send(1, 2, 1, "echo") // small ones need no room
		v.expect("1: echo.")
		v.ack(0, 1)
		v.expect("0: 2000 bytes", "0: end.")
		v.send(2, 3, 9, "big")
		v.expect()
		v.cancel(2)
		v.expect("2: unknown, canceled: the command was canceled while the server was running it")
		if !errors.Is(err, base.ErrCommandEnded) {
			t.Errorf("Send returned %v", err)
		}
		v.send(3, 4, 9, "big")
		v.expect()
		v.cut()
		time.Sleep(time.Minute) // the session ends
		settle()
		if !errors.Is(err, base.ErrCommandEnded) || h.Running() != 0 {
			t.Errorf("Send returned %v, %d commands run", err, h.Running())
		}
	})
}

// Something is always kept, however large it is.
func TestAResultAboveMaxBytesIsKept(t *testing.T) {
	withHost(t, commands{"big": func(c call) error { return c.last(strings.Repeat("x", 2000)) }}, func(conf *handler.Conf[World]) {
		conf.Sessions.MaxBytes = 1500
	}, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "big")
		v.expect("0: 2000 bytes.")
	})
}

// Of a command that is given up, the results that could not be sent yet are dropped:
// at once, also the rest of one that is on its way.
func TestACancelDropsWhatIsNotSent(t *testing.T) {
	for size, most := range map[int]int{1000: 900_000, 5 << 20: 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			withHost(t, commands{"echo": echo, "much": func(c call) error {
				for range 1<<20/size + 2 {
					if err := c.send(strings.Repeat("x", size)); err != nil {
						return err
					}
				}
				<-c.ctx.Done()
				return nil
			}}, func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes = 32 << 20 }, func(t *testing.T, h *host) {
				v := h.open(1)
				v.far.Cut(memnet.Stall)
				v.send(0, 1, 10_000, "much")
				settle()
				v.cancel(0)
				settle()
				v.far.Cut(memnet.None)
				got := v.take()
				canceled := "0: unknown, canceled: the command was canceled while the server was running it"
				if len(got) == 0 || got[len(got)-1] != canceled {
					t.Fatalf("heard %d frames, the last %q", len(got), got[len(got)-1])
				}
				if n := v.resultBytes(); n == 0 || n > most {
					t.Errorf("%d bytes of results came", n)
				}
				v.send(0, 2, 1, "echo") // C9: no half result is in its way
				v.expect("0: echo.")
				v.cut()
				v.resume()
				v.expect("list")
			})
		})
	}
}

// A list of which the last item breaks a rule has no effect at all: the same client,
// which comes back with a right one, has lost nothing.
func TestAListThatBreaksARuleChangesNothing(t *testing.T) {
	big := strings.Repeat("x", 2000)
	canceled := stands(3, 4, 0, 1)
	canceled.Canceled = true
	for name, c := range map[string]struct {
		list []wire.ClientSlot
		rule string
	}{
		"a lower seq":             {[]wire.ClientSlot{stands(0, 1, 3, 9), canceled, stands(4, 4, 0, 1)}, "command 4 is listed on slot 4, where command 5 has come"},
		"seen more than was sent": {[]wire.ClientSlot{stands(0, 1, 3, 9), stands(2, 9, 0, 1), canceled, stands(4, 5, 1, 1)}, "of command 5 the client has seen 1 results, of 0 to 0"},
		"an open one is missing":  {[]wire.ClientSlot{stands(0, 1, 3, 9), stands(1, 2, 1, 0), canceled}, "command 5 on slot 4 is open, and not in the client's list"},
	} {
		t.Run(name, func(t *testing.T) {
			withHost(t, commands{
				"count": count(3), "wait": waiter, "big": func(c call) error { return c.last(big) },
				"more": func(c call) error {
					c.send("1")
					return c.last("2")
				},
			}, nil, func(t *testing.T, h *host) {
				v := h.open(1)
				v.send(0, 1, 3, "count") // all of it was sent, and has ended
				v.send(1, 2, 1, "big")   // likewise
				v.send(2, 3, 1, "big")   // likewise
				v.send(3, 4, 1, "more")  // waits for credit
				v.send(4, 5, 1, "wait")
				settle()
				v.cut()
				v.again()
				v.list(wire.FlagLast, c.list...)
				h.broken(c.rule)
				v.take()
				if kept := 2*2000 + 4 + 2*64; h.KeptBytes() != kept || h.Running() != 2 {
					t.Errorf("%d bytes are kept, %d commands run", h.KeptBytes(), h.Running())
				}
				v.resume(stands(0, 1, 1, 2), stands(1, 2, 0, 1), stands(2, 3, 0, 1), stands(3, 4, 0, 1), stands(4, 5, 0, 1))
				v.inOrder("list 0:seen,0+8 1:seen,0+8 2:seen,0+8 3:seen,0+8 4:seen,0+8", "0: 2", "0: 3.", "1: 2000 bytes.", "2: 2000 bytes.", "3: 1")
				v.credit(3, 1)
				v.inOrder("3: 2.")
			})
		})
	}
}

// L6: a client that says to have seen what was made, but never sent, is wrong.
func TestWhatWasNotSentWasNotSeen(t *testing.T) {
	gate := make(chan struct{})
	withHost(t, nil, func(conf *handler.Conf[World]) {
		gate = make(chan struct{})
		conf.Codec = codec{commands: gated(gate, 3)}
	}, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 3, "gated")
		v.expect("0: 1")
		v.cut()
		gate <- struct{}{} // the second result is only kept
		settle()
		v.again()
		v.list(wire.FlagLast, stands(0, 1, 2, 1))
		h.broken("of command 1 the client has seen 2 results, of 0 to 1")
		v.resume(stands(0, 1, 1, 2))
		v.inOrder("list 0:seen,0+8", "0: 2")
		gate <- struct{}{}
		v.inOrder("0: 3.")
	})
}

// L6: what a command has sent while there was no connection comes before its failure.
func TestAFailureComesAfterTheResults(t *testing.T) {
	withHost(t, commands{"late": func(c call) error {
		time.Sleep(time.Second)
		c.send("1")
		c.send("2")
		return io.ErrNoProgress
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 8, "late")
		settle()
		v.cut()
		time.Sleep(2 * time.Second)
		v.resume(stands(0, 1, 0, 8))
		v.expect("list 0:seen,0+8", "0: 1", "0: 2", "0: failed, exec: "+io.ErrNoProgress.Error())
	})
}

// Nothing that a command tries to send after its last result takes the place of that, which its
// client may not have seen: not of the command itself, nor of a goroutine that it has left behind.
func TestNothingTakesThePlaceOfTheLastResult(t *testing.T) {
	withHost(t, commands{
		"itself": func(c call) error {
			err := c.last("first")
			if late := c.last("later"); !errors.Is(late, base.ErrCommandEnded) {
				t.Errorf("the second last result: %v", late)
			}
			return err
		},
		"left behind": func(c call) error {
			go func() {
				time.Sleep(time.Second)
				c.send("stale")
			}()
			return c.last("first")
		},
	}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 2, "itself")
		v.send(1, 2, 2, "left behind")
		settle()
		v.cut()
		time.Sleep(2 * time.Second)
		v.resume(stands(0, 1, 0, 2), stands(1, 2, 0, 2))
		v.inOrder("list 0:seen,0+8 1:seen,0+8", "0: first.", "1: first.")
	})
}

// The same with two goroutines that send what they can.
func TestTwoGoroutinesAfterTheLastResult(t *testing.T) {
	withHost(t, commands{"both": func(c call) error {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for c.send("tick") == nil {
					time.Sleep(time.Millisecond)
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		err := c.last("last")
		wg.Wait()
		return err
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1000, "both")
		settle()
		v.cut()
		time.Sleep(time.Second)
		v.resume(stands(0, 1, 0, 1000))
		settle()
		heard := v.take()
		if last := heard[len(heard)-1]; last != "0: last." {
			t.Errorf("the last one is %q", last)
		}
	})
}

// heap returns how many bytes are held.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// What a client of a session has acknowledged takes no memory, however large it was, and what it
// has not no more than it counts.
func TestWhatIsAcknowledgedIsGone(t *testing.T) {
	const size, slots = 1 << 20, 8
	withHost(t, commands{"large": func(c call) error {
		if c.seq%2 == 0 {
			return c.last(strings.Repeat("x", size))
		}
		return errors.Join(c.send(strings.Repeat("x", size)), c.last("small"))
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		before := heap()
		for slot := range slots {
			v.send(slot, uint64(slot+1), 2, "large")
			v.forgetResults()
			v.ack(slot, 1)
			settle()
		}
		if kept := h.KeptBytes(); kept > slots*1000 {
			t.Errorf("%d bytes are kept", kept)
		}
		if grown := heap() - before; grown > slots*size/4 {
			t.Errorf("%d bytes are held", grown)
		}
	})
}

// forgetResults takes what has come, and keeps nothing of it.
func (v *visitor) forgetResults() {
	v.take()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.results = nil
}

// Nor does the memory stay in which that was made, be it an answer, or several results.
func TestSlotsWhoseCommandsWereSeenAreSmall(t *testing.T) {
	const slots, each = 512, 3 << 10 // bytes, with the record of what was sent
	body := strings.Repeat("x", 4000)
	for name, run := range map[string]struct {
		exec func(c call) error
		ack  uint64
	}{
		"several results": {func(c call) error {
			for range 4 {
				if err := c.send(body[:900]); err != nil {
					return err
				}
			}
			return c.last("")
		}, 5},
		"an answer": {func(c call) error { return c.last(body[:900]) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			withHost(t, commands{body: run.exec}, func(conf *handler.Conf[World]) { conf.MaxInFlight = slots }, func(t *testing.T, h *host) {
				v := h.open(1)
				before := heap()
				for slot := range slots {
					v.send(slot, uint64(slot+1), 5, body)
					settle()
					v.ack(slot, run.ack)
				}
				v.forgetResults()
				if kept := h.KeptBytes(); kept > 0 {
					t.Errorf("%d bytes are kept", kept)
				}
				if grown := heap() - before; grown > slots*each {
					t.Errorf("%d bytes of a slot are held", grown/slots)
				}
			})
		})
	}
}

// An answer that the slot's next command releases leaves no more than that command's own needs.
func TestASmallAnswerTakesNoMemoryOfALargeOne(t *testing.T) {
	const slots, each = 512, 700
	withHost(t, commands{
		"large": func(c call) error { return c.last(strings.Repeat("x", 1000)) },
		"small": func(c call) error { return c.last("x") },
	}, func(conf *handler.Conf[World]) { conf.MaxInFlight = slots }, func(t *testing.T, h *host) {
		v := h.open(1)
		before := heap()
		for slot := range slots {
			for n, name := range []string{"large", "small"} {
				v.send(slot, uint64(2*slot+n+1), 1, name)
				settle()
			}
		}
		v.forgetResults()
		if kept := h.KeptBytes(); kept == 0 {
			t.Error("nothing is kept: this test shows nothing")
		}
		if grown := heap() - before; grown > slots*each {
			t.Errorf("%d bytes of a slot are held", grown/slots)
		}
	})
}

// A session without a connection keeps no records that nobody uses.
func TestASessionWithoutAConnectionIsSmall(t *testing.T) {
	const commandsAtOnce = 64
	body := strings.Repeat("x", 4000)
	gate := make(chan struct{})
	withHost(t, commands{body: func(c call) error { <-gate; return c.last("") }}, func(conf *handler.Conf[World]) {
		gate = make(chan struct{})
		conf.MaxInFlight = commandsAtOnce
	}, func(t *testing.T, h *host) {
		v := h.open(1)
		for slot := range commandsAtOnce {
			v.send(slot, uint64(slot+1), 1, body)
		}
		settle()
		close(gate)
		settle()
		v.forgetResults()
		before := heap()
		v.cut()
		if gone := before - heap(); gone < commandsAtOnce*4000 {
			t.Errorf("only %d bytes are given up", gone)
		}
	})
}
