package server_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// numbered is a compression that only has a number.
type numbered struct {
	transport.Compression
	id uint64
}

func (n numbered) ID() uint64 { return n.id }

// Z1: of the compressions that both have, the client's first is chosen.
func TestTheClientsOrderOfCompressionsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			offered []uint64
			want    uint64
		}{{nil, 0}, {[]uint64{9}, 0}, {[]uint64{65}, 65}, {[]uint64{9, 65, 64}, 65}, {[]uint64{64, 65}, 64}} {
			h := start(t, server.Conf[World]{Compressions: []transport.Compression{numbered{id: 64}, numbered{id: 65}}}, nil)
			nc := h.dial()
			b, err := wire.AppendClientHello(nil, wire.ClientHello{Compressions: test.offered})
			if err != nil {
				t.Fatal(err)
			}
			nc.Write(b)
			if got := hearHello(t, nc).Compression; got != test.want {
				t.Errorf("of %v the server chose %d, want %d", test.offered, got, test.want)
			}
		}
	})
}

// A session goes on with the compression that it began with, or not at all.
func TestAResumeKeepsItsCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Compressions: []transport.Compression{flate.New(1)}}, nil)
		hello := func(s wire.Session, offered ...uint64) wire.ServerHello {
			nc := h.dial()
			b, err := wire.AppendClientHello(nil, wire.ClientHello{Session: &s, Compressions: offered})
			if err != nil {
				t.Fatal(err)
			}
			nc.Write(b)
			return hearHello(t, nc)
		}
		id := wire.SessionID{1}
		hello(wire.Session{ID: id, Epoch: 1}, flate.ID)
		if a := hello(wire.Session{Resume: true, ID: id, Epoch: 2}); a.Status != wire.StatusRefused || !strings.Contains(a.Text, "another compression") {
			t.Errorf("without it: %+v", a)
		}
		if a := hello(wire.Session{Resume: true, ID: id, Epoch: 2}, flate.ID); a.Status != wire.StatusOK || a.Compression != flate.ID {
			t.Errorf("with it: %+v", a)
		}
	})
}

// Connections that end otherwise than they should are counted by the reason.
func TestConnectionsThatAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{ReceiveTimeout: time.Minute, WriteTimeout: 10 * time.Second}, commands{
			"big": numbers(1, 3<<20),
		})
		h.dial() // and not a word
		idle := h.dial()
		sayHello(t, idle)
		deaf := h.dial()
		sayHello(t, deaf)
		deaf.Write([]byte{0x10, 0, 4, 'b', 'i', 'g', '\n'})
		rude := h.dial()
		sayHello(t, rude)
		rude.Write([]byte{0xf0, 0, 0})
		cut := h.dial()
		sayHello(t, cut)
		cut.Cut(memnet.RST)
		time.Sleep(2 * time.Minute)
		settle()
		s := h.Stats()
		if s.Idle != 1 || s.SlowReaders != 1 || s.Breaches != 1 || s.FailedHellos != 1 || s.Floods != 0 || s.Connections != 0 || s.Running != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// Commands whose body is no good are counted.
func TestBadBodiesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{
			ServerSettings: server.Settings{MaxCmdSize: 100}, Compressions: []transport.Compression{flate.New(1)},
		}, nil)
		packed, err := flate.New(1).Compress(nil, make([]byte, 1000))
		if err != nil {
			t.Fatal(err)
		}
		nc := h.dial()
		b, err := wire.AppendClientHello(nil, wire.ClientHello{Compressions: []uint64{flate.ID}})
		if err != nil {
			t.Fatal(err)
		}
		nc.Write(b)
		hearHello(t, nc)
		for n, f := range []struct {
			flags wire.Flags
			body  []byte
		}{
			{0, make([]byte, 101)},
			{wire.FlagMore, wire.AppendUvarint(nil, 101)}, // announced
			{wire.FlagCompressed, packed},
			{wire.FlagCompressed, []byte("no such thing")},
			{0, []byte("unknown\n")},
		} {
			nc.Write(wire.AppendHeader(nil, wire.Header{Kind: wire.KindCommand, Flags: f.flags, Slot: uint64(n), Length: len(f.body)}))
			nc.Write(f.body)
			settle()
			if s := h.Stats(); s.BadBodies != uint64(n+1) || s.Breaches != 0 {
				t.Errorf("after %d: %+v", n+1, s)
			}
		}
		h.echoes(h.client())
		if s := h.Stats(); s.BadBodies != 5 {
			t.Errorf("one that is good counts: %+v", s)
		}
	})
}

// Refused hellos are counted by their reason.
func TestRefusedHellosAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 1, Sessions: server.Sessions{Disabled: true}}, nil)
		h.client()
		for range 2 {
			if _, err := h.connect(client.Conf{}); err == nil {
				t.Error("there was a place")
			}
		}
		if a := h.resumeRaw(wire.Session{ID: wire.SessionID{1}, Epoch: 1}, nil); a.Status != wire.StatusRefused {
			t.Errorf("got %+v", a)
		}
		if a := h.resumeRaw(wire.Session{ID: wire.SessionID{1}, Epoch: 1}, []byte("secret")); a.Status != wire.StatusUnauthorized {
			t.Errorf("got %+v", a)
		}
		settle()
		if s := h.Stats(); s.FullHellos != 2 || s.RefusedHellos != 1 || s.Unauthorized != 1 || s.FailedHellos != 0 || s.Connections != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// A command whose time is over counts once, whatever it does then; one that ends before, or is
// given up, does not.
func TestDeadlinesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"wait": wait, "slow": later, "says so": func(context.Context, func(string, bool) error) error {
			return &base.Error{Code: base.ErrDeadline} // of another command, perhaps
		}})
		nc := h.dial()
		sayHello(t, nc)
		go io.Copy(io.Discard, nc)
		command := func(slot uint64, timeout time.Duration, name string) {
			payload := append(wire.AppendExtras(nil, wire.Extras{Timeout: uint64(timeout.Microseconds())}), name+"\n"...)
			nc.Write(append(wire.AppendHeader(nil, wire.Header{Kind: wire.KindCommand, Flags: wire.FlagExtras, Slot: slot, Length: len(payload)}), payload...))
		}
		command(0, time.Second, "wait")
		command(1, time.Second, "wait")
		command(2, 2*time.Second, "slow") // which takes one
		command(3, 10*time.Second, "wait")
		command(4, 10*time.Second, "says so")
		time.Sleep(5 * time.Second)
		nc.Write(wire.AppendHeader(nil, wire.Header{Kind: wire.KindCancel, Slot: 3}))
		time.Sleep(10 * time.Second)
		if got := h.Stats().Deadlines; got != 2 {
			t.Errorf("%d deadlines are counted", got)
		}
	})
}
