package handler_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
)

// evil is an error whose methods panic.
type evil struct{}

func (evil) Error() string { panic("in Error") }
func (evil) As(any) bool   { panic("in As") }

// mute is an error whose Error panics.
type mute struct{}

func (mute) Error() string { panic("in Error") }

func TestWhatExecReturns(t *testing.T) {
	for name, c := range map[string]struct {
		exec func(c call) error
		want string
	}{
		"an error": {
			func(call) error { return errors.New(" 50 % of\nit failed ☹ ") },
			"failed, exec:  50 % of\nit failed ☹ ",
		},
		"an error with a code": {
			func(call) error { return &base.Error{Code: "no_money", Message: "5 missing", Err: io.EOF} },
			"failed, no_money: 5 missing: EOF",
		},
		"an error without one":     {func(call) error { return &base.Error{Message: "odd"} }, "failed, exec: odd"},
		"an error that is no word": {func(call) error { return errors.New("") }, "failed, exec: "},
		"a nil *Error": {
			func(call) error { var e *base.Error; return e },
			"failed, exec: an *Error that is nil",
		},
		"an error whose Error panics": {
			func(call) error { return mute{} },
			"failed, exec: an error of type handler_test.mute, whose Error panicked: in Error",
		},
		"an error whose As panics": {func(call) error { return evil{} }, "failed, panic: the command panicked: in As"},
		"nothing, and no result": {
			func(call) error { return nil },
			"failed, no_result: the command returned without a last result",
		},
		"an error after the last result": {func(c call) error { c.last("done"); return io.EOF }, "done."},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, commands{"do": c.exec, "echo": echo}, nil, func(t *testing.T, s *setup) {
				s.command(0, "do")
				s.expect("0: " + c.want)
				s.command(0, "echo")
				s.expect("0: echo.")
			})
		})
	}
}

func TestAnErrorAfterResults(t *testing.T) {
	test(t, commands{
		"error":   func(c call) error { c.send("one"); return io.EOF },
		"nothing": func(c call) error { return c.send("one") },
		"panic":   func(c call) error { c.send("one"); panic("two") },
	}, nil, func(t *testing.T, s *setup) {
		s.command(0, "error")
		s.expect("0: one", "0: failed, exec: EOF")
		s.command(0, "nothing")
		s.expect("0: one", "0: failed, no_result: the command returned without a last result")
		s.command(0, "panic")
		s.expect("0: one", "0: failed, panic: the command panicked: two")
	})
}

// codePanics are the places in which a user's code may panic, or end its
// goroutine: each does boom in one.
func codePanics(boom func()) commands {
	return commands{
		"exec":     func(call) error { boom(); return nil },
		"deferred": func(c call) error { defer boom(); return c.send("deferred") },
		"encode": func(c call) error {
			return c.Send(c.seq, result{encode: func() error { boom(); return nil }})
		},
		"last": func(c call) error {
			return c.Send(c.seq, result{asked: func() bool { boom(); return true }})
		},
	}
}

func TestPanics(t *testing.T) {
	test(t, codePanics(func() { panic("boom") }), func(s *setup) {
		s.decode = func(string) (base.Cmd[World], error) { panic("boom") }
	}, func(t *testing.T, s *setup) {
		for _, c := range []struct{ name, where, want string }{
			{"exec", "handler_test.cmd", "failed, panic: the command panicked: boom"},
			{"decode", "", "rejected, panic: the server's codec panicked: boom"},
			{"encode", "handler_test.result", "failed, panic: encoding a handler_test.result panicked: boom"},
			{"last", "handler_test.result", "failed, panic: encoding a handler_test.result panicked: boom"},
		} {
			s.command(0, c.name)
			s.expect("0: " + c.want)
			p := s.panics[len(s.panics)-1]
			if p.Cmd != c.where || p.Value != "boom" || p.RemoteAddr != s.server.RemoteAddr().String() {
				t.Errorf("%s: reported %+v", c.name, p)
			}
			if base.Seq(len(s.panics)) != p.Seq || !strings.Contains(string(p.Stack), "handler_test.TestPanics") {
				t.Errorf("%s: seq %d, stack\n%s", c.name, p.Seq, p.Stack)
			}
		}
	})
}

func TestGoexit(t *testing.T) {
	test(t, codePanics(runtime.Goexit), func(s *setup) {
		s.decode = func(string) (base.Cmd[World], error) { runtime.Goexit(); return nil, nil }
	}, func(t *testing.T, s *setup) {
		for _, name := range []string{"exec", "encode", "last"} {
			s.command(0, name)
			s.expect("0: failed, panic: the command ended its goroutine by runtime.Goexit")
		}
		s.command(0, "deferred")
		s.expect("0: deferred", "0: failed, panic: the command ended its goroutine by runtime.Goexit")
		s.command(0, "decode")
		s.expect("0: rejected, panic: the server's codec ended its goroutine by runtime.Goexit")
		if len(s.panics) != 5 || s.panics[0].Value != nil || s.panics[0].Cmd != "handler_test.cmd" {
			t.Errorf("reported %d, the first as %+v", len(s.panics), s.panics[0])
		}
		if n := s.conn.Running(); n != 0 {
			t.Errorf("%d commands are running", n)
		}
	})
}

func TestPanicsAreLoggedWithoutOnPanic(t *testing.T) {
	test(t, codePanics(func() { panic("boom") }), func(s *setup) { s.conf.OnPanic = nil }, func(t *testing.T, s *setup) {
		s.command(0, "exec")
		s.expect("0: failed, panic: the command panicked: boom")
		if log := s.log.String(); !strings.Contains(log, "a command panicked") || !strings.Contains(log, "boom") {
			t.Errorf("log: %s", log)
		}
	})
}

func TestOnPanicMayPanicOrExit(t *testing.T) {
	for name, on := range map[string]func(){"panic": func() { panic("again") }, "exit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			c := codePanics(func() { panic("boom") })
			c["echo"] = echo
			test(t, c, func(s *setup) {
				s.conf.OnPanic = func(handler.Panic) { on() }
			}, func(t *testing.T, s *setup) {
				s.command(0, "exec")
				s.expect("0: failed, panic: the command panicked: boom")
				s.command(0, "echo")
				s.expect("0: echo.")
				if n := s.conn.Running(); n != 0 {
					t.Errorf("%d commands are running", n)
				}
			})
		})
	}
}

// A Send is over, whatever OnPanic does when the codec has panicked in it: the next one does not
// wait for it.
func TestASendIsOverWhateverOnPanicDoes(t *testing.T) {
	for name, on := range map[string]func(){"nothing": func() {}, "panic": func() { panic("again") }, "exit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			second := make(chan error, 1)
			test(t, commands{"two": func(c call) error {
				go func() {
					time.Sleep(time.Millisecond) // while the first one is under way
					second <- c.send("second")
				}()
				return c.Send(c.seq, result{encode: func() error { time.Sleep(2 * time.Millisecond); panic("boom") }})
			}}, func(s *setup) {
				second = make(chan error, 1)
				s.conf.OnPanic = func(handler.Panic) { on() }
			}, func(t *testing.T, s *setup) {
				s.command(0, "two")
				var want []string
				switch err := <-second; {
				case err == nil: // the command ends a moment after its first Send
					want = append(want, "0: second")
				case !errors.Is(err, base.ErrCommandEnded):
					t.Errorf("the second Send returned %v", err)
				}
				if name == "exit" {
					want = append(want, "0: failed, panic: the command ended its goroutine by runtime.Goexit")
				} else {
					want = append(want, "0: failed, panic: encoding a handler_test.result panicked: boom")
				}
				s.inOrder(want...)
			})
		})
	}
}

func TestRefusedBodies(t *testing.T) {
	for name, c := range map[string]struct {
		cmd  base.Cmd[World]
		err  error
		want string
	}{
		"an error":   {nil, io.ErrUnexpectedEOF, "rejected, decode: the server's codec refused the command: unexpected EOF"},
		"its code":   {nil, &base.Error{Code: base.ErrUnknownCmd, Message: "what?"}, "rejected, unknown_cmd: what?"},
		"no command": {nil, nil, "rejected, decode: the server's codec decoded a nil command"},
		"both":       {cmd{"echo", echo}, io.EOF, "rejected, decode: the server's codec refused the command: EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			decode := func(string) (base.Cmd[World], error) { return c.cmd, c.err }
			test(t, commands{"echo": echo}, func(s *setup) { s.decode = decode }, func(t *testing.T, s *setup) {
				s.command(0, "odd")
				s.expect("0: " + c.want)
				s.command(0, "echo")
				s.expect("0: echo.")
			})
		})
		t.Run(name+", strict", func(t *testing.T) {
			decode := func(string) (base.Cmd[World], error) { return c.cmd, c.err }
			test(t, commands{"echo": echo, "wait": func(c call) error {
				<-c.ctx.Done()
				return nil
			}}, func(s *setup) { s.decode, s.conf.Strict = decode, true }, func(t *testing.T, s *setup) {
				s.command(0, "wait")
				s.command(1, "odd")
				s.expect("1: " + c.want)
				if ends := s.ends(); len(ends) != 1 || base.OutcomeOf(ends[0]) != base.Rejected || s.end() != io.EOF {
					t.Errorf("the connection ended: %v, %v", ends, s.end())
				}
			})
		})
	}
}

func TestResultsThatCannotBeSent(t *testing.T) {
	var errs []error
	try := func(r base.Result) func(c call) error {
		return func(c call) error {
			err := c.Send(c.seq, r)
			errs = append(errs, err)
			if err != nil {
				return c.last("instead") // the credit is still there
			}
			return err
		}
	}
	fail := func(c call) error { return c.Send(c.seq, result{encode: func() error { return io.ErrNoProgress }}) }
	test(t, commands{
		"nil":    try(nil),
		"encode": try(result{encode: func() error { return io.ErrNoProgress }}),
		"code":   try(result{encode: func() error { return &base.Error{Code: "mine"} }}),
		"nothing": try(result{encode: func() error {
			var e *base.Error
			return e
		}}),
		"panic": try(result{encode: func() error { panic("boom") }}),
		"large": try(result{text: strings.Repeat("x", 101)}),
		"fail":  fail,
	}, func(s *setup) { s.maxResult = 100 }, func(t *testing.T, s *setup) {
		want := map[string]error{
			"nil": base.ErrEncode, "encode": io.ErrNoProgress, "code": base.Code("mine"), "nothing": base.ErrEncode,
			"panic": base.ErrPanic, "large": base.ErrTooLargeResult,
		}
		for name, want := range want {
			s.command(0, name)
			s.expect("0: instead.")
			if err := errs[len(errs)-1]; !errors.Is(err, want) {
				t.Errorf("%s: Send returned %v", name, err)
			}
		}
		s.command(0, "fail")
		s.expect("0: failed, encode: a handler_test.result can't be encoded: multiple Read calls return no data or error")
	})
}
