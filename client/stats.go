package client

import (
	"errors"
	"sync/atomic"

	"github.com/cmdstream/cmdstream/base"
)

// Stats is what a client has at a moment, and what has happened since it was made that is
// out of the ordinary.
type Stats struct {
	// InFlight commands have a place on a connection, or wait for one, as Client.InFlight
	// tells.
	InFlight int
	// Bytes of results that are held, of Conf.MaxBytes.
	Bytes int

	FailedAttempts  uint64 // to connect again: nobody was there, the hello failed, or the server was full or busy
	LostConnections uint64 // that ended otherwise than by Close, or because their server went away in words
	Breaches        uint64 // of these: the server broke a rule of the protocol
	Silent          uint64 // of these: the server fell silent
	SlowReaders     uint64 // of these: the server did not read
	SessionsLost    uint64 // with commands open
	SentAgain       uint64 // commands that were tried once more, over another connection
	Strays          uint64 // results, failures and credits for no open command
	TooLargeResults uint64 // results above Conf.MaxResultSize, compressed or not
	NoMemory        uint64 // results for which there was no memory
	BadResults      uint64 // results that the codec, or the compression, refused
	Panics          uint64 // in the codec, the compression, and callbacks; those of connecting are FailedAttempts
}

// Stats returns the client's. It may be called at any time, from any goroutine.
func (c *Client[T]) Stats() Stats {
	n := &c.counters
	return Stats{
		InFlight: c.InFlight(), Bytes: int(c.memory.used.Load()),
		FailedAttempts: n.failedAttempts.Load(), LostConnections: n.lostConnections.Load(),
		Breaches: n.breaches.Load(), Silent: n.silent.Load(), SlowReaders: n.slowReaders.Load(),
		SessionsLost: n.sessionsLost.Load(), SentAgain: n.sentAgain.Load(), Strays: n.strays.Load(),
		TooLargeResults: n.tooLargeResults.Load(), NoMemory: n.noMemory.Load(),
		BadResults: n.badResults.Load(), Panics: n.panics.Load(),
	}
}

// counters are those of Stats.
type counters struct {
	failedAttempts, lostConnections, breaches, silent, slowReaders atomic.Uint64
	sessionsLost, sentAgain, strays                                atomic.Uint64
	tooLargeResults, noMemory, badResults, panics                  atomic.Uint64
}

// lost counts a connection that has ended, and why.
func (n *counters) lost(reason error) {
	if errors.Is(reason, base.ErrClosed) || errors.Is(reason, base.ErrDraining) {
		return
	}
	n.lostConnections.Add(1)
	switch {
	case errors.Is(reason, base.ErrProtocol):
		n.breaches.Add(1)
	case errors.Is(reason, base.ErrKeepalive):
		n.silent.Add(1)
	case errors.Is(reason, base.ErrSlowReader):
		n.slowReaders.Add(1)
	}
}

// refused counts a result that is not taken, or can't be decoded.
func (n *counters) refused(err error) {
	switch {
	case errors.Is(err, base.ErrTooLargeResult):
		n.tooLargeResults.Add(1)
	case errors.Is(err, base.ErrBusy):
		n.noMemory.Add(1)
	case errors.Is(err, base.ErrPanic):
		n.panics.Add(1)
	default:
		n.badResults.Add(1)
	}
}
