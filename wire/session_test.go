package wire

import "testing"

// The items of both sides' lists come back as they were, cut anywhere they are
// refused, and what is behind them is left.
func TestSlotsOfAList(t *testing.T) {
	r := random(t)
	for range 2000 {
		c := ClientSlot{
			Slot: someNumber(r), Seq: someNumber(r), Seen: someNumber(r), Credit: someNumber(r),
			Inputs: someNumber(r), Canceled: r.IntN(2) == 0,
		}
		b := AppendClientSlot(nil, c)
		got, rest, err := CutClientSlot(append(b, 7))
		if got != c || len(rest) != 1 || err != nil || len(b) > MaxSlotItem {
			t.Fatalf("%+v comes back as %+v, %v", c, got, err)
		}
		for cut := range b {
			_, _, err := CutClientSlot(b[:cut])
			wantRule(t, err, "in the middle of the list")
		}
		s := ServerSlot{Slot: someNumber(r)}
		if r.IntN(2) == 0 {
			s = ServerSlot{Slot: s.Slot, Seen: true, Inputs: someNumber(r), Credit: someNumber(r)}
		}
		b = AppendServerSlot(nil, s)
		answer, rest, err := CutServerSlot(append(b, 7))
		if answer != s || len(rest) != 1 || err != nil {
			t.Fatalf("%+v comes back as %+v, %v", s, answer, err)
		}
		for cut := range b {
			_, _, err := CutServerSlot(b[:cut])
			wantRule(t, err, "in the middle of the list")
		}
	}
	_, _, err := CutServerSlot([]byte{1, 2})
	wantRule(t, err, "neither 0 nor 1")
	_, _, err = CutClientSlot([]byte{1, 2, 3, 4, 5, 6})
	wantRule(t, err, "neither 0 nor 1")
}

func TestSessionsRefused(t *testing.T) {
	id := make([]byte, 16)
	for name, test := range map[string]struct {
		field []byte
		rule  string
	}{
		"empty":             {nil, "asks for a session in 0 bytes"},
		"short":             {append([]byte{1}, id[:15]...), "in 16 bytes"},
		"an unknown mode":   {append(append([]byte{3}, id...), 1), "in the way 3"},
		"no epoch":          {append([]byte{1}, id...), "in the middle of the number"},
		"an epoch of zero":  {append(append([]byte{1}, id...), 0), "epoch is 0"},
		"an overlong epoch": {append(append([]byte{1}, id...), 0x81, 0), "longer than it need be"},
		"more bytes":        {append(append([]byte{1}, id...), 1, 1), "followed by more bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseClientHello(append([]byte{tagSession, byte(len(test.field))}, test.field...))
			wantRule(t, err, test.rule)
		})
	}
}

func TestCredentialsAreBounded(t *testing.T) {
	if _, err := AppendClientHello(nil, ClientHello{Credentials: make([]byte, MaxCredentials+1)}); err == nil {
		t.Error("too many are sent")
	}
	field := AppendUvarint([]byte{tagCredentials}, MaxCredentials+1)
	_, err := ParseClientHello(append(field, make([]byte, MaxCredentials+1)...))
	wantRule(t, err, "the credentials have 4097 bytes")
	_, err = ParseClientHello([]byte{tagCompression, 2, 1, 0x80})
	wantRule(t, err, "in the middle of the compressions")
}

func TestPairs(t *testing.T) {
	b := AppendPair(AppendPair(nil, "tenant", "ann"), "k", "")
	key, value, rest, err := CutPair(b)
	if string(key) != "tenant" || string(value) != "ann" || err != nil {
		t.Errorf("got %q, %q, %v", key, value, err)
	}
	key, value, rest, err = CutPair(rest)
	if string(key) != "k" || len(value) != 0 || len(rest) != 0 || err != nil {
		t.Errorf("got %q, %q, %v", key, value, err)
	}
}

func TestAcks(t *testing.T) {
	for _, n := range []uint64{1, 127, 1 << 40} {
		if got, err := ParseAck(AppendUvarint(nil, n)); got != n || err != nil {
			t.Errorf("%d comes back as %d, %v", n, got, err)
		}
	}
	for _, b := range [][]byte{nil, {0}, {0x80}, {1, 1}} {
		_, err := ParseAck(b)
		wantRule(t, err, "ack")
	}
}
