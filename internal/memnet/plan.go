package memnet

import (
	"maps"
	"math/rand/v2"
	"time"
)

// Kind is a way for one direction of a connection to break off.
type Kind uint8

const (
	// None is no break.
	None Kind = iota

	// FIN ends the direction in order: the reader gets the bytes before the cut
	// and then io.EOF, the writer's writes fail with syscall.EPIPE. The other
	// direction goes on.
	FIN

	// RST resets the connection: at once, both ends fail to read and to write,
	// with syscall.ECONNRESET, and what was written and not read is lost, in
	// both directions.
	RST

	// Stall makes the direction go silent, as if the cable had been pulled: what
	// is written after the cut, and the end of the stream, never arrive, though
	// writes go on to succeed until the buffer is full. An end whose silent peer
	// closes does not learn of it. A later plan without a Stall delivers what
	// was held back.
	Stall

	// Partition is a Stall of both directions, at the moment when this one reaches
	// its cut.
	Partition
)

// String returns the name of the constant.
func (k Kind) String() string {
	switch k {
	case FIN:
		return "FIN"
	case RST:
		return "RST"
	case Stall:
		return "Stall"
	case Partition:
		return "Partition"
	default:
		return "None"
	}
}

// Plan says what goes wrong in one direction of a connection. The zero value is
// a direction without faults. Offsets count the bytes of the direction from the
// start of the connection.
type Plan struct {
	// Cut breaks the direction off before the byte at offset At: as soon as the
	// first At bytes were written, or at once if they were already.
	Cut Kind
	At  int64

	// Delay is how long bytes are under way after they were written, and the end
	// of the stream too. Delays overlap: it is a latency, not a throughput.
	Delay time.Duration

	// ShortDeliveries, if positive, makes what is written arrive in pieces of a
	// random size of at most that many bytes. Each piece comes Delay after the
	// one before, or a nanosecond after it if there is no Delay.
	ShortDeliveries int

	// ShortReads, if positive, makes each Read return a random number of bytes,
	// at most that many.
	ShortReads int

	// Seed makes the random sizes reproducible.
	Seed uint64

	// Corrupt has the bits to flip by the offset of their byte.
	Corrupt map[int64]byte
}

// SetPlan replaces the plan for the bytes that this end writes. For the other
// direction, call it on the peer.
func (c *Conn) SetPlan(p Plan) {
	p.Corrupt = maps.Clone(p.Corrupt)
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.out.setPlan(p)
}

// Cut breaks off the direction that this end writes, behind what was written so
// far, and keeps the rest of its plan. Cut(None) takes a Stall back.
func (c *Conn) Cut(kind Kind) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	p := c.out.plan
	p.Cut, p.At = kind, c.out.written
	c.out.setPlan(p)
}

// sizes draws random sizes. Reads and deliveries have one each, so that the
// sizes of the one do not depend on the timing of the other.
type sizes struct {
	random  *rand.Rand
	longest int // zero or less: not limited
}

func newSizes(seed, stream uint64, longest int) sizes {
	return sizes{random: rand.New(rand.NewPCG(seed, stream)), longest: longest}
}

// limit returns n, or a random size from 1 to n if sizes are limited.
func (s *sizes) limit(n int) int {
	if s.longest <= 0 || n <= 1 {
		return n
	}
	return 1 + s.random.IntN(min(n, s.longest))
}
