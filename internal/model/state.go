package main

// How much there is of everything. What a scenario uses of it is up to the scenario.
const (
	commands = 4 // in the order in which the client sends them
	slots    = 2
	conns    = 3 // that are not forgotten by both sides
	sessions = 4 // ids
	queueMax = 12
)

// A program is what a command does.
type program struct {
	results    uint8
	inputs     uint8
	large      bool // its results want an ack
	wide       bool // one more of them may be on its way, once the first was taken
	pieces     bool // it goes in two pieces
	endless    bool // it runs until it is canceled, as it always is
	idempotent bool
}

// outcome is what the caller of a command was told.
type outcome uint8

const (
	waiting outcome = iota // the command is to be sent
	open
	succeeded
	rejected
	notSent
	unknown
)

type kind uint8

const (
	hello   kind = iota // up; what it says stands in the connection
	ok                  // down, as are the next two: answers to a hello
	lost                // the server does not hold the session
	stale               // the session has a newer connection, or is another client's
	list                // up; it stands in the connection
	answer              // down; likewise
	command             // up
	piece               // up: the last piece of a command; the wire knows no difference to a command
	cancel              // up
	input               // up
	ack                 // up
	credit              // both ways
	result              // down
	failure             // down
)

// A message is a frame, or a hello. Slots and servers count from 0; sessions,
// connections, commands, Seqs, results and inputs from 1, and 0 is none.
type message struct {
	kind    kind
	slot    uint8
	command uint8   // whose it is. The wire does not tell: this is for the judge
	seq     uint8   // of a command; 0: one more than that of the command before
	n       uint8   // credit, results seen, which result or input it is
	more    bool    // another piece follows, or another input; or it should, and the command is given up
	outcome outcome // that an ending frame tells; else 0
}

// A queue holds messages on their way.
type queue struct {
	n        uint8
	messages [queueMax]message
}

func (q *queue) pop() message {
	x := q.messages[0]
	copy(q.messages[:], q.messages[1:q.n])
	q.keep(q.n - 1)
	return x
}

// keep drops all but the first n messages.
func (q *queue) keep(n uint8) {
	clear(q.messages[n:q.n])
	q.n = n
}

// An item is what a list, or the answer to it, says of one slot.
type item struct {
	seq, seen, credit, inputs uint8
	canceled, unseen          bool
}

// conn is a connection, until both sides have left it.
type conn struct {
	number                 uint8 // 0: it is not used
	server, session, epoch uint8
	cut                    bool // what is sent from now on is lost, and any tail of what is on its way may be
	clientLeft, serverLeft bool
	stolen                 bool // its client is another one, who has the session's id
	up, down               queue
	written                uint8 // how many messages in up have left the client
	lastUp, lastRead       uint8 // Seq of the command before, at the client and at the server
	listed                 bool  // the server knows the open slots, so what they have to say goes out
	list, answer           [slots]item
}

// send puts a message on its way, up or down, unless it would be lost.
func (c *conn) send(q *queue, x message) {
	if !c.cut && !c.clientLeft && !c.serverLeft {
		q.messages[q.n] = x // a queue that is too short is a panic
		q.n++
	}
}

// clientSlot is a slot of the client.
type clientSlot struct {
	command  uint8 // 0: free
	seq      uint8
	got      uint8 // results that have come
	taken    uint8 // that the user took
	listed   bool  // and the answer is to come
	unseen   bool  // by the server, as its answer says
	canceled bool
	wrote    bool  // its first frame has left
	piece    bool  // the last one is to be sent
	inputs   uint8 // that were sent
	allowed  uint8 // inputs
}

// credit is how much was given for the results of a program: one at first, and one for each
// that was taken.
func (x *clientSlot) credit(p program) uint8 {
	if p.wide {
		return 1 + x.taken + min(x.taken, 1)
	}
	return 1 + x.taken
}

// record is what a server knows of a slot, in a session.
type record struct {
	command  uint8
	seq      uint8 // of the last command that came whole
	running  bool
	failed   bool  // it has ended in a failure, which is kept behind the results
	credited uint8 // results beyond the first
	sent     uint8 // results that were made
	acked    uint8
	inputs   uint8
	partial  uint8 // the command of which the first piece has come
	began    uint8 // its Seq; 0: it was refused, and the rest is dropped
}

// session is one at a server. If its epoch is 0, no server holds it.
type session struct {
	epoch, server, conn uint8
	gone                bool // its server has lost it, or another was asked for it
	records             [slots]record
}

func (x *session) heldBy(server uint8) bool {
	return x.epoch > 0 && x.server == server
}

// fate is what has become of a command.
type fate struct {
	outcome outcome
	id      [2]uint8 // session and Seq: its CommandID at the client
	runs    uint8
	ranAs   [2]uint8
	again   bool  // it was sent again in another session, as its type allows
	got     uint8 // results that its user was given
}

// state is all there is. It is a value: two states are the same if they are equal.
type state struct {
	conn     uint8 // of the client
	attached bool  // new commands may go over it
	session  uint8 // the last that there was
	epoch    uint8 // 0: its opening was not answered
	seq      uint8 // of the last command
	slots    [slots]clientSlot
	fates    [1 + commands]fate // the first is no command's
	conns    [conns]conn
	sessions [sessions]session
	budget
}

// A budget is what the adversary may still do. Whatever takes of it is the adversary's.
type budget struct {
	cuts, evictions, restarts, cancels, rejections, thefts uint8
}
