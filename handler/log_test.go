package handler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
)

// far is a Proxy that knows nothing but an address.
type far struct{ base.Proxy }

func (far) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7} }

func TestLog(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx           context.Context
		err           error
		level         string
		outcome, code any
	}{
		"success":      {t.Context(), nil, "DEBUG", "succeeded", nil},
		"an error":     {t.Context(), errors.New("no such article"), "ERROR", "failed", "exec"},
		"a code":       {t.Context(), &base.Error{Code: "sold_out", Message: "none left"}, "ERROR", "failed", "sold_out"},
		"refused":      {t.Context(), &base.Error{Outcome: base.Rejected, Code: base.ErrBusy}, "WARN", "rejected", "busy"},
		"given up":     {canceled, context.Canceled, "WARN", "failed", "exec"},
		"of a command": {t.Context(), &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Cmd: "Other"}, "ERROR", "failed", "busy"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				next := handler.InvokerFunc[World](func(context.Context, time.Time, base.Seq, base.Cmd[World], base.Proxy) error {
					time.Sleep(time.Second)
					return test.err
				})
				if err := handler.Log[World](logger)(next).Invoke(test.ctx, time.Now(), 7, cmd{}, far{}); err != test.err {
					t.Errorf("got %v", err)
				}
				got := map[string]any{}
				if err := json.Unmarshal(log.Bytes(), &got); err != nil {
					t.Fatalf("not one record: %v\n%s", err, &log)
				}
				for attr, want := range map[string]any{
					"msg": "command run", "level": test.level, "cmd": "handler_test.cmd", "seq": 7.0, "remote": "10.0.0.1:7",
					"duration": 1e9, "outcome": test.outcome, "code": test.code,
				} {
					if got[attr] != want {
						t.Errorf("%s is %v, want %v", attr, got[attr], want)
					}
				}
				if text, there := got["error"]; there != (test.err != nil) || there && text == "" && name != "refused" && name != "of a command" {
					t.Errorf("error is %v", text)
				}
			})
		})
	}
}

// A panic is logged, and is the server's to handle.
func TestLogOfAPanic(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	next := handler.InvokerFunc[World](func(context.Context, time.Time, base.Seq, base.Cmd[World], base.Proxy) error {
		panic("not today")
	})
	func() {
		defer func() {
			if v := recover(); v != "not today" {
				t.Errorf("recovered %v", v)
			}
		}()
		handler.Log[World](nil)(next).Invoke(t.Context(), time.Now(), 7, cmd{}, far{})
	}()
	for _, want := range []string{"level=ERROR", "outcome=failed", "code=panic", `error="the command panicked"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in %s", want, &log)
		}
	}
	log.Reset()
	well := handler.InvokerFunc[World](func(context.Context, time.Time, base.Seq, base.Cmd[World], base.Proxy) error { return nil })
	if err := handler.Log[World](nil)(well).Invoke(t.Context(), time.Now(), 7, cmd{}, far{}); err != nil || log.Len() > 0 {
		t.Errorf("%v, and it wrote %s", err, &log)
	}
}

// detailed is an error with something for the client's program.
type detailed struct{ error }

func (detailed) Detail() string { return "\n[{\"secret\":1}]" }

// TestLogHasNoDetail: what travels beside an error's text is not for people.
func TestLogHasNoDetail(t *testing.T) {
	var log bytes.Buffer
	next := handler.InvokerFunc[World](func(context.Context, time.Time, base.Seq, base.Cmd[World], base.Proxy) error {
		return detailed{errors.New("no such article")}
	})
	handler.Log[World](slog.New(slog.NewTextHandler(&log, nil)))(next).Invoke(t.Context(), time.Now(), 7, cmd{}, far{})
	if text := log.String(); !strings.Contains(text, "no such article") || strings.Contains(text, "secret") {
		t.Errorf("the record is %s", text)
	}
}
