//go:build unix && !race

package transport

import "testing"

// A small message costs no allocation, at either end.
func TestAllocations(t *testing.T) {
	near, far := tcp(t)
	c, s := client(near, 0), server(far)
	defer end(c, s)
	body := []byte("thirty-two bytes, as in an echo.")
	var command, result, read Message
	step := func(from, to *Conn, m *Message) {
		if flush, err := from.Append(m); err != nil || !flush {
			t.Fatalf("flush %v, %v", flush, err)
		}
		from.Flush(false)
		if err := to.Read(&read); err != nil || string(read.Body) != string(body) {
			t.Fatalf("%+v came, %v", read, err)
		}
	}
	allocs := testing.AllocsPerRun(1000, func() {
		command = Message{Kind: Command, Slot: 5, Body: body}
		step(c, s, &command)
		result = Message{Kind: Result, Slot: 5, Last: true, Body: body}
		step(s, c, &result)
	})
	if allocs != 0 {
		t.Errorf("a command and its result take %v allocations", allocs)
	}
}

func TestAPoolAllocatesNothing(t *testing.T) {
	var p Pool
	for _, n := range []int{pooledMedium, pooledLarge} {
		if allocs := testing.AllocsPerRun(100, func() { p.Put(p.Get(n)) }); allocs > 0 {
			t.Errorf("%d bytes: %v allocations", n, allocs)
		}
	}
}
