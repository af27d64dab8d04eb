package memnet

import "sync"

// link is what the two ends of a connection share.
type link struct {
	// mu protects the link, both directions and both ends. One mutex for all
	// makes closing and resetting atomic: no end sees half of it.
	mu    sync.Mutex
	reset bool

	// toServer and toClient are the directions.
	toServer, toClient direction
}

// newPair returns the ends of a new connection with buffers of size bytes.
func newPair(clientAddress, serverAddress address, size int) (client, server *Conn) {
	l := new(link)
	l.toServer.init(l, &l.toClient, size)
	l.toClient.init(l, &l.toServer, size)
	client = l.newConn(&l.toClient, &l.toServer, clientAddress, serverAddress)
	server = l.newConn(&l.toServer, &l.toClient, serverAddress, clientAddress)
	return client, server
}

func (l *link) newConn(in, out *direction, local, remote address) *Conn {
	return &Conn{
		link: l, in: in, out: out, local: local, remote: remote,
		readDeadline:  deadline{wake: in.wake},
		writeDeadline: deadline{wake: out.wake},
	}
}

// doReset makes both ends fail from now on.
func (l *link) doReset() {
	l.reset = true
	l.toServer.drop()
	l.toClient.drop()
}
