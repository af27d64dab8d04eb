package handler

import "sync/atomic"

// Counters count what happens to a server that is out of the ordinary. All may be read
// at any time.
type Counters struct {
	// Shed commands were refused because too many ran, or had for too long; NoMemory ones
	// because there was no memory for their body.
	Shed, NoMemory atomic.Uint64
	// BadBodies are commands that were refused for their body: it was too large,
	// compressed or not, or the codec did not take it.
	BadBodies atomic.Uint64
	// Panics in commands and codecs.
	Panics atomic.Uint64
	// Deadlines are commands that the server ended because their time was over.
	Deadlines atomic.Uint64
	// Floods are connections that ended because of too many pings, cancels, credits
	// or inputs for nothing; Breaches those whose client broke another rule.
	Floods, Breaches atomic.Uint64
	// SlowReaders are connections of clients that did not read, Idle ones of clients
	// that sent nothing.
	SlowReaders, Idle atomic.Uint64
	// SessionsOpened, SessionsResumed, SessionsExpired (without a connection for too
	// long) and SessionsEvicted (for there were too many) count sessions.
	SessionsOpened, SessionsResumed, SessionsExpired, SessionsEvicted atomic.Uint64
	// SessionsLost, StaleEpochs and ForeignSessions count refused attempts to resume:
	// of a session that is not there, by a hello that was late, by another client.
	SessionsLost, StaleEpochs, ForeignSessions atomic.Uint64
}
