package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

func TestConfsThatCannotBeUsed(t *testing.T) {
	for want, conf := range map[string]server.Conf[World]{
		"WorkersCount is negative":                     {WorkersCount: -1},
		"MaxHellos is negative":                        {MaxHellos: -1},
		"FirstConnTimeout is negative":                 {FirstConnTimeout: -1},
		"ReceiveTimeout is negative":                   {ReceiveTimeout: -1},
		"SysDataSendTimeout is negative":               {SysDataSendTimeout: -1},
		"WriteTimeout is negative":                     {WriteTimeout: -1},
		"FullRetryAfter is negative":                   {FullRetryAfter: -1},
		"ServerSettings.MaxCmdSize is negative":        {ServerSettings: server.Settings{MaxCmdSize: -1}},
		"ServerSettings.MaxInFlight is negative":       {ServerSettings: server.Settings{MaxInFlight: -1}},
		"ServerInfo has 1025 bytes, the limit is 1024": {ServerInfo: make([]byte, 1025)},
	} {
		s, err := server.New[World](serverCodec{}, World{}, conf)
		if s != nil || !errors.Is(err, base.ErrConf) || base.OutcomeOf(err) != base.NotSent || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if s, err := server.New[World](nil, World{}, server.Conf[World]{}); s != nil || !errors.Is(err, base.ErrConf) {
		t.Errorf("without a codec: %v", err)
	}
}

func TestNewDefWithoutACodec(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, base.ErrConf) {
			t.Errorf("it panicked with %v", err)
		}
	}()
	server.NewDef[World](nil, World{})
	t.Error("it did not panic")
}

func TestTheLongestServerInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		info := []byte(strings.Repeat("i", 1024))
		h := start(t, server.Conf[World]{ServerInfo: info}, nil)
		c, err := h.connect(client.Conf{ServerInfo: info})
		if err != nil {
			t.Fatal(err)
		}
		h.echoes(c)
		if _, err := h.connect(client.Conf{}); !errors.Is(err, base.ErrServerInfo) {
			t.Errorf("another client got %v", err)
		}
	})
}

func TestSettingsAreAnnouncedAndEnforced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{ServerSettings: server.Settings{MaxCmdSize: 10, MaxInFlight: 1}}, nil)
		hello := sayHello(t, h.dial())
		if string(hello.Info) != "default" || hello.MaxCmdSize != 10 || hello.MaxInFlight != 1 {
			t.Errorf("got %+v", hello)
		}
		c := h.client()
		if _, err := c.Do(t.Context(), cmd("12345678901")); !errors.Is(err, base.ErrTooLargeCmd) {
			t.Errorf("got %v", err)
		}
		h.echoes(c)
	})
}

// seen is an Invoker that notes what it runs.
type seen struct {
	handler.Invoker[World]
	cmds *[]string
}

func (i seen) Invoke(ctx context.Context, at time.Time, seq base.Seq, c base.Cmd[World], proxy base.Proxy) error {
	*i.cmds = append(*i.cmds, string(c.(found).cmd))
	return i.Invoker.Invoke(ctx, at, seq, c, proxy)
}

func TestInvokerOnPanicAndStrict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cmds []string
		var panics []handler.Panic
		h := start(t, server.Conf[World]{
			Invoker: seen{handler.NewInvoker(World{}), &cmds},
			OnPanic: func(p handler.Panic) { panics = append(panics, p) },
			Strict:  true,
		}, commands{"panic": func(context.Context, func(string, bool) error) error { panic("boom") }})
		c := h.client()
		h.echoes(c)
		if _, err := c.Do(t.Context(), cmd("panic")); !errors.Is(err, base.ErrPanic) || base.OutcomeOf(err) != base.Failed {
			t.Errorf("got %v", err)
		}
		if len(panics) != 1 || panics[0].Value != "boom" || len(cmds) != 2 || cmds[0] != "echo" {
			t.Errorf("invoked %q, panics %v", cmds, panics)
		}
		if _, err := c.Do(t.Context(), cmd("unknown")); !errors.Is(err, base.ErrDecode) || base.OutcomeOf(err) != base.Rejected {
			t.Errorf("got %v", err)
		}
		<-c.Done()
	})
}
