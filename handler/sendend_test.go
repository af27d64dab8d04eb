package handler_test

import (
	"io"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/handler"
)

// No Send waits for another one once its command has ended, though the user's code that the other
// one has called goes on, or sends itself.
func TestNoSendWaitsBeyondTheEnd(t *testing.T) {
	var last call
	for name, exec := range map[string]func(c call) error{
		"from Encode": func(c call) error {
			return c.Send(c.seq, result{text: "x", last: true, encode: func() error { c.send("y"); return nil }})
		},
		"from LastOne": func(c call) error {
			return c.Send(c.seq, result{text: "x", asked: func() bool { c.send("y"); return true }})
		},
		"from OnPanic": func(c call) error {
			last = c
			return c.Send(c.seq, result{text: "x", last: true, encode: func() error { panic("oops") }})
		},
		"beside a slow Encode": func(c call) error {
			encoding := make(chan struct{})
			go c.Send(c.seq, result{text: "x", encode: func() error { close(encoding); time.Sleep(2 * time.Minute); return nil }})
			<-encoding
			c.send("y")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(s *setup) { s.conf.OnPanic = func(handler.Panic) { last.last("it panicked") } }
			test(t, commands{"a": exec}, change, func(t *testing.T, s *setup) {
				s.command(0, "a")
				settle()
				s.conn.Close(io.ErrClosedPipe, 0)
				time.Sleep(time.Minute)
				if n := s.pool.Close(time.Minute); n != 0 {
					t.Errorf("%d goroutines wait", n)
				}
				time.Sleep(2 * time.Minute)
			})
		})
	}
}
