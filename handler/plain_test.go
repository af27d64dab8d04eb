package handler_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// letters is a codec for the plain wire: a command is one letter, a result ends
// with a comma.
type letters commands

func (l letters) Encode(r base.Result, w transport.Writer) error {
	_, err := io.WriteString(w, r.(result).text+",")
	return err
}

func (l letters) Decode(r transport.Reader) (base.Cmd[World], error) {
	letter, err := r.ReadByte()
	switch {
	case err != nil:
		return nil, err
	case letter == '0':
		return nil, nil
	case letter == '!':
		panic("boom")
	case letter == '.':
		runtime.Goexit()
	case l[string(letter)] == nil:
		return nil, errors.New("no such letter")
	}
	return cmd{"", l[string(letter)]}, nil
}

func overPlain(c commands) func(s *setup) {
	return func(s *setup) {
		s.conf.Codec, s.transport, s.plain = letters(c), transport.Plain, true
	}
}

func TestPlainNeedsNoCredit(t *testing.T) {
	c := commands{"c": count(100)}
	test(t, nil, overPlain(c), func(t *testing.T, s *setup) {
		s.write([]byte("\x05c"))
		settle()
		s.conn.Close(io.EOF, 0)
		want := "\x07default"
		for n := range 100 {
			want += fmt.Sprintf("\x05%d,", n+1)
		}
		s.expect(want)
	})
}

// The plain wire has no failures: the connection ends instead.
func TestPlainFailures(t *testing.T) {
	c := commands{
		"e": func(call) error { return io.ErrNoProgress },
		"n": func(call) error { return nil },
		"p": func(call) error { panic("boom") },
		"x": func(call) error { runtime.Goexit(); return nil },
	}
	for letter, want := range map[string]struct {
		code base.Code
		text string
	}{
		"e": {base.ErrExec, "multiple Read calls return no data or error"},
		"n": {base.ErrNoResult, "without a last result"},
		"p": {base.ErrPanic, "the command panicked: boom"},
		"x": {base.ErrPanic, "runtime.Goexit"},
		"!": {base.ErrPanic, "the codec panicked: boom"},
		".": {base.ErrPanic, "the server's codec ended the goroutine that reads"},
		"0": {base.ErrDecode, "decoded a nil command"},
		"?": {base.ErrConnLost, "no such letter"},
	} {
		t.Run(letter, func(t *testing.T) {
			test(t, nil, overPlain(c), func(t *testing.T, s *setup) {
				s.write([]byte("\x01" + letter))
				ends := s.ends()
				if len(ends) != 1 || !errors.Is(ends[0], want.code) || !strings.Contains(ends[0].Error(), want.text) {
					t.Errorf("the connection ended by %v", ends)
				}
				if s.end() != io.EOF {
					t.Errorf("the client read %v", s.end())
				}
			})
		})
	}
}

func TestPlainIsClosedWhenItDrains(t *testing.T) {
	hold := make(chan struct{})
	c := commands{"w": func(c call) error { <-hold; return c.last("w") }}
	test(t, nil, func(s *setup) { overPlain(c)(s); hold = make(chan struct{}) }, func(t *testing.T, s *setup) {
		if s.conn.Goaway() {
			t.Error("the plain wire has a goaway")
		}
		s.write([]byte("\x01w"))
		settle()
		s.conn.Drain(0)
		close(hold)
		settle()
		s.write([]byte("\x02w")) // a further command can't be told
		s.expect("\x07default\x01w,")
		if ends := s.ends(); len(ends) != 1 || !errors.Is(ends[0], base.ErrDraining) {
			t.Errorf("the connection ended by %v", ends)
		}
	})
}
