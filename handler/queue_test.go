package handler_test

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// brief takes a while, and is what oneWordCodec makes of any body.
type brief struct{}

func (brief) Exec(_ context.Context, _ time.Time, seq base.Seq, _ World, proxy base.Proxy) error {
	for began := time.Now(); time.Since(began) < 30*time.Microsecond; {
	}
	return proxy.Send(seq, result{text: "x", last: true})
}

type oneWordCodec struct{}

func (oneWordCodec) Encode(_ base.Result, w transport.Writer) error {
	_, err := w.WriteString("x")
	return err
}

func (oneWordCodec) Decode(transport.Reader) (base.Cmd[World], error) { return brief{}, nil }

// Deadlines that pass while commands wait to run, each on a slot that its client uses again
// at that very moment: every command is answered.
func TestDeadlinesInTheQueue(t *testing.T) {
	const slots = 64
	s, err := server.New(oneWordCodec{}, World{}, server.Conf[World]{
		Logger: slog.New(slog.DiscardHandler), MaxRunning: 1, ServerSettings: server.Settings{MaxInFlight: slots},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(listener)
	nc, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	wireOf := transport.Framed(transport.Options{MaxBody: 100, MaxSlots: slots})
	hello, err := wireOf.AppendHello(nil, &transport.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	nc.Write(hello)
	in := bufio.NewReader(nc)
	if err := wireOf.ReadHello(in, &transport.Hello{}); err != nil {
		t.Fatal(err)
	}
	var sent [slots]time.Time
	send := func(slot int, seq uint64) {
		sent[slot] = time.Now()
		extras := wire.AppendExtras(nil, wire.Extras{Seq: seq, Timeout: 500 + 300*(seq%7)})
		nc.Write(frame(wire.KindCommand, wire.FlagExtras, slot, append(extras, 'x')))
	}
	for slot := range slots {
		send(slot, uint64(slot+1))
	}
	const silence = 3 * time.Second
	began := time.Now()
	for seq := uint64(slots + 1); time.Since(began) < silence+time.Second; seq++ {
		var m transport.Message
		nc.SetReadDeadline(began.Add(2 * silence))
		if err := wireOf.Read(in, &m); err != nil {
			t.Fatal(err)
		}
		send(m.Slot, seq)
	}
	for slot, at := range sent {
		if time.Since(at) > silence {
			t.Errorf("the command on slot %d has got no answer for %v", slot, time.Since(at))
		}
	}
}
