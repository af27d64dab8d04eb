package server

import "github.com/cmdstream/cmdstream/transport"

// Stats is what a server has at a moment, and what has happened since it was made
// that is out of the ordinary.
type Stats struct {
	// Connections are those whose hello is over.
	Connections int
	// Sessions are those that clients have asked for, and DetachedSessions those of
	// them without a connection.
	Sessions         int
	DetachedSessions int
	// Running commands, and Queued ones that wait to run.
	Running int
	Queued  int
	// Bytes of commands and inputs that are held, and KeptBytes of results for
	// sessions.
	Bytes     int
	KeptBytes int

	// Hellos that failed, that were Full, Draining, Unauthorized or refused otherwise,
	// and those that were closed because too many were under way.
	FailedHellos    uint64
	FullHellos      uint64
	DrainingHellos  uint64
	Unauthorized    uint64
	RefusedHellos   uint64
	TooManyHellos   uint64
	AcceptFailures  uint64
	Shed            uint64 // commands that were refused because too many ran, or had for too long
	NoMemory        uint64 // commands and inputs for which there was no memory
	BadBodies       uint64 // commands whose body was too large, compressed or not, or refused by the codec
	Panics          uint64 // in commands and codecs
	Deadlines       uint64 // commands that the server ended because their time was over
	Floods          uint64 // connections that ended for pings, cancels, credits or inputs for nothing
	Breaches        uint64 // connections that ended because their client broke another rule
	SlowReaders     uint64 // connections of clients that did not read
	Idle            uint64 // connections of clients that sent nothing for ReceiveTimeout
	SessionsOpened  uint64
	SessionsResumed uint64
	SessionsExpired uint64
	SessionsEvicted uint64
	SessionsLost    uint64 // attempts to resume one that is not there
	StaleEpochs     uint64 // attempts to resume that came too late
	ForeignSessions uint64 // attempts to resume another client's
}

// Stats returns the server's. It may be called at any time.
func (s *Server) Stats() Stats {
	stats := s.sessions.stats()
	s.mu.Lock()
	stats.Connections = len(s.workers)
	s.mu.Unlock()
	stats.FailedHellos, stats.TooManyHellos = s.failedHellos.Load(), s.tooManyHellos.Load()
	stats.AcceptFailures = s.acceptFailures.Load()
	stats.FullHellos = s.refusals[transport.Full].Load()
	stats.DrainingHellos = s.refusals[transport.Draining].Load()
	stats.Unauthorized = s.refusals[transport.Unauthorized].Load()
	stats.RefusedHellos = s.refusals[transport.Refused].Load()
	return stats
}

func (t typed[T]) stats() Stats {
	c := &t.h.Counters
	sessions, detached := t.h.SessionCount() // first: what has become of those that are gone is in the counters
	return Stats{
		Sessions: sessions, DetachedSessions: detached,
		Running: t.h.Running(), Queued: t.h.Queued(), Bytes: t.h.Bytes(), KeptBytes: t.h.KeptBytes(),
		Shed: c.Shed.Load(), NoMemory: c.NoMemory.Load(), BadBodies: c.BadBodies.Load(), Panics: c.Panics.Load(), Deadlines: c.Deadlines.Load(),
		Floods: c.Floods.Load(), Breaches: c.Breaches.Load(), SlowReaders: c.SlowReaders.Load(), Idle: c.Idle.Load(),
		SessionsOpened: c.SessionsOpened.Load(), SessionsResumed: c.SessionsResumed.Load(),
		SessionsExpired: c.SessionsExpired.Load(), SessionsEvicted: c.SessionsEvicted.Load(),
		SessionsLost: c.SessionsLost.Load(), StaleEpochs: c.StaleEpochs.Load(), ForeignSessions: c.ForeignSessions.Load(),
	}
}
