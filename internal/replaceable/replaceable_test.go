package replaceable

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

// The parts are used as interfaces that the library exports.
var (
	_ client.Codec[scribe]    = (*clientCodec)(nil)
	_ server.Codec[scribe]    = (*serverCodec)(nil)
	_ handler.Invoker[scribe] = (*guard)(nil)
	_ net.Listener            = (*pipeListener)(nil)
	_ client.Dialer           = (*pipeDialer)(nil).dial
)

// world is a client and a server, with all that is replaced in them.
type world struct {
	client      *client.Client[scribe]
	clientCodec *clientCodec
	serverCodec *serverCodec
	listener    *pipeListener
	dialer      *pipeDialer
	receiver    scribe
}

// newWorld connects a client and a server. They end with the test.
func newWorld(t *testing.T, clientConf client.Conf, serverConf server.Conf[scribe]) *world {
	t.Helper()
	w := &world{clientCodec: new(clientCodec), serverCodec: new(serverCodec), listener: newPipeListener(), receiver: newScribe()}
	w.dialer = &pipeDialer{listener: w.listener}

	s, err := server.New(w.serverCodec, w.receiver, serverConf)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(w.listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, server.ErrClosed) {
			t.Error("Serve returned", err)
		}
	})

	w.client, err = client.NewReconnect(t.Context(), w.clientCodec, w.dialer.dial, clientConf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.client.Close() })
	return w
}

// upper sends one command, and checks the result.
func (w *world) upper(t *testing.T, text string) {
	t.Helper()
	result, err := w.client.Do(t.Context(), upper{text})
	if want := (word{strings.ToUpper(text), true}); err != nil || result != want {
		t.Errorf("got %.40v, %v, want %.40v", result, err, want)
	}
}

// split sends a command with several results, and checks them.
func (w *world) split(t *testing.T, text string) {
	t.Helper()
	var words []string
	for result, err := range w.client.Results(t.Context(), split{text}) {
		if err != nil {
			t.Error(err)
			return
		}
		words = append(words, result.(word).text)
	}
	if want := strings.Split(text, " "); !slices.Equal(words, want) {
		t.Errorf("got %q, want %q", words, want)
	}
}

func TestCodec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, client.Conf{}, server.Conf[scribe]{})
		w.upper(t, "quiet")
		w.split(t, "one two three")
		if n := w.clientCodec.encoded.Load(); n != 2 {
			t.Errorf("the client's codec encoded %d commands, want 2", n)
		}
		if n := w.serverCodec.decoded.Load(); n != 2 {
			t.Errorf("the server's codec decoded %d commands, want 2", n)
		}
		if n := w.serverCodec.encoded.Load(); n != 4 {
			t.Errorf("the server's codec encoded %d results, want 4", n)
		}
		if n := w.clientCodec.decoded.Load(); n != 4 {
			t.Errorf("the client's codec decoded %d results, want 4", n)
		}
		if sent := w.dialer.dialed()[0].sent.String(); !strings.Contains(sent, "upper quiet") {
			t.Errorf("the codec's bytes did not go over the connection, but %q", sent)
		}
	})
}

// withTransport is a world whose two sides speak lines of JSON.
func withTransport(t *testing.T) *world {
	return newWorld(t,
		client.Conf{Transport: newJSONLines, KeepaliveTime: time.Minute, KeepaliveIntvl: time.Minute},
		server.Conf[scribe]{Transport: newJSONLines, ServerSettings: server.Settings{MaxCmdSize: 500_000, MaxInFlight: 7}})
}

func TestTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withTransport(t)
		w.upper(t, "quiet")
		w.split(t, "one two three")
		w.split(t, strings.Repeat("word ", 500)) // more than the first credit
		w.upper(t, strings.Repeat("large ", 50_000))

		_, err := w.client.Do(t.Context(), fail{"as it was"})
		if err == nil || err.Error() != "as it was" || base.OutcomeOf(err) != base.Failed {
			t.Errorf("the command failed with %v", err)
		}
		_, err = w.client.Do(t.Context(), upper{strings.Repeat("too large ", 60_000)})
		if !errors.Is(err, client.ErrTooLargeCmd) {
			t.Errorf("a command beyond the announced MaxCmdSize gave %v", err)
		}

		conn := w.dialer.dialed()[0]
		wantLines(t, "sent", conn.sent.String(), `{"MaxResultSize":`, `{"Kind":"command","Seq":1,`, `{"Kind":"credit",`)
		wantLines(t, "received", conn.received.String(),
			`{"Info":"ZGVmYXVsdA==","MaxCmdSize":500000,"MaxInFlight":7}`, `{"Kind":"result","Last":true,"Body":"UVVJRVQu"}`,
			`{"Kind":"failure","Outcome":3,"Code":"exec","Text":"as it was"}`)
	})
}

func TestTransportCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withTransport(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := w.client.Do(ctx, wait{}); !errors.Is(err, context.Canceled) {
			t.Errorf("the command that was given up ended with %v", err)
		}
		select {
		case <-w.receiver.cancelled:
		case <-time.After(time.Minute): // the bubble's
			t.Error("the ctx at the server has not ended")
		}
		wantLines(t, "sent", w.dialer.dialed()[0].sent.String(), `{"Kind":"cancel"}`)
		w.upper(t, "goes on")
	})
}

func TestTransportPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withTransport(t)
		time.Sleep(10 * time.Minute) // the bubble's
		conn := w.dialer.dialed()[0]
		wantLines(t, "sent", conn.sent.String(), `{"Kind":"ping"}`)
		wantLines(t, "received", conn.received.String(), `{"Kind":"ping"}`)
		w.upper(t, "still there")
		if n := len(w.dialer.dialed()); n != 1 {
			t.Errorf("there were %d connections, want the first to live on", n)
		}
	})
}

// wantLines checks that each of the beginnings begins a line of text.
func wantLines(t *testing.T, what, text string, beginnings ...string) {
	t.Helper()
	for _, beginning := range beginnings {
		if !strings.Contains("\n"+text, "\n"+beginning) {
			t.Errorf("no line of what the client %s begins with %s; it is\n%.2000s", what, beginning, text)
		}
	}
}

func TestInvoker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guard{receiver: newScribe(), took: make(map[base.Seq]time.Duration)}
		w := newWorld(t, client.Conf{}, server.Conf[scribe]{Invoker: g})
		w.upper(t, "quiet")
		w.split(t, "one two three")

		_, err := w.client.Do(t.Context(), wait{})
		if !errors.Is(err, base.ErrUnauthorized) || base.OutcomeOf(err) != base.Rejected || !strings.HasSuffix(err.Error(), refusal) {
			t.Errorf("the refused command gave %v (%v)", err, base.OutcomeOf(err))
		}
		synctest.Wait() // a command is measured after its last result
		g.mu.Lock()
		defer g.mu.Unlock()
		_, first := g.took[1]
		_, second := g.took[2]
		if len(g.took) != 2 || !first || !second {
			t.Errorf("measured were %v, want the commands 1 and 2", g.took)
		}
	})
}

func TestDialer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, client.Conf{}, server.Conf[scribe]{})
		w.upper(t, "first")
		w.dialer.dialed()[0].Close()
		synctest.Wait()
		w.upper(t, "second")
		conns := w.dialer.dialed()
		if len(conns) != 2 {
			t.Fatalf("the dialer was called %d times, want 2", len(conns))
		}
		for i, text := range []string{"upper first", "upper second"} {
			if sent := conns[i].sent.String(); !strings.Contains(sent, text) {
				t.Errorf("over connection %d went %q, want %q in it", i, sent, text)
			}
		}
	})
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, client.Conf{}, server.Conf[scribe]{})
		w.upper(t, "quiet")
		if n := w.listener.accepted.Load(); n != 1 {
			t.Errorf("the listener has accepted %d connections, want 1", n)
		}
		second, err := client.NewReconnect(t.Context(), w.clientCodec, w.dialer.dial, client.Conf{})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if result, err := second.Do(t.Context(), upper{"loud"}); err != nil || result != (word{"LOUD", true}) {
			t.Errorf("got %v, %v", result, err)
		}
		if n := w.listener.accepted.Load(); n != 2 {
			t.Errorf("the listener has accepted %d connections, want 2", n)
		}
	})
}

// All parts at once, as in a program that shares no more than the contract.
func TestEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guard{receiver: newScribe(), took: make(map[base.Seq]time.Duration)}
		w := newWorld(t, client.Conf{Transport: newJSONLines}, server.Conf[scribe]{Transport: newJSONLines, Invoker: g})
		results := make(chan base.AsyncResult, 3)
		for _, cmd := range []base.Cmd[scribe]{upper{"quiet"}, split{"one two three"}, wait{}} {
			if _, err := w.client.Send(cmd, results); err != nil {
				t.Fatal(err)
			}
		}
		texts := make(map[base.Seq][]string)
		for range 5 {
			result := <-results
			if result.Err != nil {
				texts[result.Seq] = append(texts[result.Seq], base.OutcomeOf(result.Err).String())
				continue
			}
			texts[result.Seq] = append(texts[result.Seq], result.Result.(word).text)
		}
		for seq, want := range map[base.Seq][]string{1: {"QUIET"}, 2: {"one", "two", "three"}, 3: {"rejected"}} {
			if !slices.Equal(texts[seq], want) {
				t.Errorf("command %d gave %q, want %q", seq, texts[seq], want)
			}
		}
	})
}
