package cmdstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
)

// ending is a client whose commands take a second and end by err; before that a loop has
// two results.
func ending(err error) cmdstream.Client[Calc] {
	return cmdstream.Calls[Calc]{
		DoFunc: func(context.Context, base.Cmd[Calc]) (base.Result, error) {
			time.Sleep(time.Second)
			return base.Value[int]{V: 1}, err
		},
		ResultsFunc: func(context.Context, base.Cmd[Calc]) iter.Seq2[base.Result, error] {
			return func(yield func(base.Result, error) bool) {
				time.Sleep(time.Second)
				for n := range 2 {
					if !yield(base.Item[int]{V: n}, nil) {
						return
					}
				}
				if err != nil {
					yield(nil, err)
				}
			}
		},
	}
}

// record is what Log wrote.
func record(t *testing.T, log *bytes.Buffer) map[string]any {
	t.Helper()
	defer log.Reset()
	got := map[string]any{}
	if err := json.Unmarshal(log.Bytes(), &got); err != nil {
		t.Errorf("not one record: %v\n%s", err, log)
	}
	return got
}

func TestLog(t *testing.T) {
	for name, test := range map[string]struct {
		err           error
		level         string
		outcome, code any
		seq           any
	}{
		"success":    {nil, "DEBUG", "succeeded", nil, nil},
		"not sent":   {&base.Error{Outcome: base.NotSent, Code: base.ErrNotConnected}, "WARN", "not sent", "not_connected", nil},
		"rejected":   {&base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Seq: 7}, "WARN", "rejected", "busy", 7.0},
		"given up":   {&base.Error{Code: base.ErrCanceled, Seq: 7}, "WARN", "unknown", "canceled", 7.0},
		"unknown":    {&base.Error{Code: base.ErrConnLost, Seq: 7}, "ERROR", "unknown", "connection_lost", 7.0},
		"failed":     {fmt.Errorf("wrapped: %w", &base.Error{Outcome: base.Failed, Code: base.ErrExec, Seq: 7}), "ERROR", "failed", "exec", 7.0},
		"of another": {errors.New("no"), "ERROR", "unknown", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				c := cmdstream.Use(ending(test.err), cmdstream.Log[Calc](logger))
				check := func(results any) {
					t.Helper()
					got := record(t, &log)
					var text any
					if test.err != nil {
						text = test.err.Error()
					}
					for attr, want := range map[string]any{
						"msg": "command sent", "level": test.level, "cmd": "cmdstream_test.Divide", "duration": 1e9,
						"outcome": test.outcome, "code": test.code, "seq": test.seq, "error": text, "results": results,
					} {
						if got[attr] != want {
							t.Errorf("%s is %v, want %v", attr, got[attr], want)
						}
					}
				}
				cmd := base.Unary[Calc, int, Divide]{}
				if _, err := c.Do(t.Context(), cmd); err != test.err {
					t.Errorf("got %v", err)
				}
				check(nil)
				var last error
				for _, last = range c.Results(t.Context(), cmd) {
				}
				if last != test.err {
					t.Errorf("got %v", last)
				}
				check(2.0)
			})
		})
	}
}

// A loop that is left, by whatever way, is the caller's wish, and no failure.
func TestLogOfALoopThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c := cmdstream.Use(ending(nil), cmdstream.Log[Calc](logger))
		loop := func(leave func() bool) {
			defer func() { recover() }()
			for range c.Results(t.Context(), base.Unary[Calc, int, Divide]{}) {
				if leave() {
					break
				}
			}
		}
		loop(func() bool { return true })
		first := record(t, &log)
		loop(func() bool { panic("not today") })
		for _, got := range []map[string]any{first, record(t, &log)} {
			if got["level"] != "DEBUG" || got["code"] != "canceled" || got["outcome"] != "unknown" {
				t.Errorf("got %v", got)
			}
		}
	})
}

// What nobody wants to read is not made; without a logger there is the default one.
func TestLogLevels(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil))) // Info and more
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		cmdstream.Do(t.Context(), cmdstream.Use(ending(nil), cmdstream.Log[Calc](nil)), Divide{6, 2})
		if log.Len() > 0 {
			t.Errorf("it wrote %s", &log)
		}
		cmdstream.Do(t.Context(), cmdstream.Use(ending(errors.New("no")), cmdstream.Log[Calc](nil)), Divide{6, 2})
		if !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("it wrote %s", &log)
		}
	})
}

// Each command is one line.
func ExampleLog() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{} // so that the output is always the same
		}
		return a
	}}))
	c := cmdstream.Use[Calc](&fakeClient[Calc]{}, cmdstream.Log[Calc](logger))
	cmdstream.Do(context.Background(), c, Divide{1, 0})
	// Output: level=ERROR msg="command sent" cmd=cmdstream_test.Divide outcome=unknown error="division by zero"
}
