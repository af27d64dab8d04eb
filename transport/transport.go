// Package transport moves commands and results over a net.Conn.
//
// A [Transport] is the wire of one connection: it turns a [Message] into bytes
// and back. [Framed], the default, is cmdstream's own; [Plain] is the bare wire
// of the original cmd-stream-go; a program may bring another. A [Conn] owns the
// net.Conn, its buffers and the coalesced flush, whatever the wire. A program chooses it
// by one line, on either side:
//
//	s, err := server.New(codec, Calc{}, server.Conf[Calc]{Transport: transport.Plain})
//
// Codecs that are written by hand get a [Writer] and a [Reader]:
//
//	func (ServerCodec) Encode(result base.Result, w transport.Writer) error {
//		return w.WriteByte(byte(result.(Sum)))
//	}
package transport

import (
	"bufio"
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// Kind is the kind of a Message.
type Kind uint8

// The kinds of messages. Server to client: Ping (a pong), Result, Failure,
// Credit, Resume, Goaway. Client to server: Ping, Command, Input, Cancel, Credit,
// Ack, Resume, Goaway.
const (
	Ping Kind = iota
	Command
	Result
	Failure
	Cancel
	Credit
	Goaway
	Input
	Ack
	Resume
)

// Message is one thing that is said on a connection, in either direction.
type Message struct {
	// What a small command has lies together: a thousand of them are in no cache.

	Kind Kind
	// Last marks the last Result of a command, or that no Input follows.
	Last bool
	// Compressed: the Body of a Command, Result or Input is compressed.
	Compressed bool
	// These two, and sent, end and done, are the Conn's and the framed transport's, under
	// Conn.mu.
	begun   bool // the first piece was appended
	aborted bool // the rest of Body is not wanted any more

	// Slot names an open command: a small number that the client chose. A
	// transport whose wire has no slots finds them itself; it reads -1 for a
	// result of a command that is not open.
	Slot int
	// Seq is the command's number. A wire with slots need not tell it of a
	// result or failure.
	Seq base.Seq
	// Timeout is the time that a Command has left; 0: no deadline.
	Timeout time.Duration
	// Credit is how many results a Command may send at first (0: one), and how
	// many more results, or inputs, may come by a Credit.
	Credit int
	// Body is the encoded command or result. As Read sets it, it is a view that
	// holds until the next Read.
	Body []byte
	// SeqTo, if not nil, is where a Conn stores the Seq that it assigns to a
	// Command with Seq 0.
	SeqTo Sequenced
	// Metadata goes with a Command: pairs, as base.Metadata has them; nil: none.
	Metadata []byte
	// Origin is the ID under which a Command was sent first, in another session;
	// nil: it was not.
	Origin *base.ID
	sent   int           // bytes of Body appended so far
	end    uint64        // where in the stream of bytes the message ends; 0: not wholly appended
	done   chan struct{} // of a large message: closed when it was wholly written, or given up

	// Seen is how many results of the command were seen, by an Ack.
	Seen int
	// Slots are the list of a Resume.
	Slots []SlotState
	// Pieces are the body, as Read sets it, where it came in pieces; Body is empty then.
	// They are the receiver's.
	Pieces *Pieces
	// Reserved is how much of the connection's Budget Read has taken for the body.
	Reserved int
	// Value is set by a Read that decodes bodies itself, instead of Body.
	Value any
	// Err is how the command ended, of a Failure; or, as Read sets it of a
	// Command, Result or Input, why that one can't be taken.
	Err *base.Error
	// RetryAfter belongs to Goaway.
	RetryAfter time.Duration
	// Reason belongs to Goaway.
	Reason string
}

// Size returns the size of the body in bytes.
func (m *Message) Size() int { return len(m.Body) + m.Pieces.Len() }

// Sequenced learns the Seq of its command, before the command is on its way. It
// is called under the Conn's lock and must not block.
type Sequenced interface{ SetSeq(base.Seq) }

// Transport is the wire of one connection, seen from one end. Read and ReadHello
// are called by one goroutine at a time; so are Append and AppendHello, but by
// others than those that read.
type Transport interface {
	// Supports tells whether the wire can carry messages of a kind. Append is
	// never called for one that it can't.
	Supports(kind Kind) bool
	// AppendHello appends this side's hello; nothing, if it has none. An error
	// means that the hello can't be said on this wire.
	AppendHello(dst []byte, h *Hello) ([]byte, error)
	// ReadHello reads the other side's hello, if it has one.
	ReadHello(r *bufio.Reader, h *Hello) error
	// Append appends m. A transport may leave the end of the body to be written
	// from where it is, as tail, if the body is larger than LargeBody. more asks
	// for a further call: Framed cuts large bodies into pieces by what the Conn
	// keeps in m, which other transports can't see. They return false.
	Append(dst []byte, m *Message) (out, tail []byte, more bool)
	// Read reads the next message into m, whose fields are zero. Any error ends
	// the connection.
	Read(r *bufio.Reader, m *Message) error
}

// LargeBody is the size in bytes up to which a body is copied into the send
// buffer, among the other messages. A larger one goes by reference.
const LargeBody = 8 << 10

// Options is what a transport is made with.
type Options struct {
	// Server is true at the server's end.
	Server bool
	// MaxBody is the largest body, in bytes, that Read may take: MaxCmdSize at
	// the server, MaxResultSize at the client.
	MaxBody int
	// MaxSlots is how many slots there are: a higher number breaks the protocol.
	MaxSlots int
	// Decode decodes the body of a message for the slot (a base.Cmd[T] at the
	// server, a base.Result at the client), where the wire doesn't say where a
	// body ends. The slot is -1 where the result belongs to no open command.
	Decode func(slot int, r Reader) (any, error)
	// Budget, if not nil, is asked before memory is taken for a body that comes in
	// pieces. Read gives nothing back: whoever gets the message does, and, when
	// the connection has ended, whoever made the Budget.
	Budget Budget
	// Open, at the client, tells whether a command is open on a slot: no memory is
	// taken for a result where none is. Nil: not known.
	Open func(slot int) bool
}

// Budget is how much memory a connection may take, and where from. It is called by the
// goroutine that reads.
type Budget interface {
	// Pool is where the memory of bodies that come in pieces is from.
	Pool() *Pool
	// Reserve takes n bytes, and returns false if there are not so many.
	Reserve(n int) bool
	// Release gives n bytes back.
	Release(n int)
}

// noBudget is a Budget without bound.
type noBudget struct{ pool Pool }

func (b *noBudget) Pool() *Pool    { return &b.pool }
func (*noBudget) Reserve(int) bool { return true }
func (*noBudget) Release(int)      {}

// Factory makes the transport of one connection: Framed, Plain, or another. It is
// called by many goroutines at once.
type Factory func(Options) Transport

// MaxServerInfo is the largest ServerInfo, in bytes.
const MaxServerInfo = wire.MaxServerInfo

// MaxMessage is how many bytes of a failure's text are sent at most.
const MaxMessage = wire.MaxMessage

// BrokenRule is the error of a peer that broke a rule of the protocol: what Read
// returns of one ends the connection as base.ErrProtocol.
func BrokenRule(format string, args ...any) error {
	return &wire.RuleError{Rule: fmt.Sprintf(format, args...)}
}

// Hello is what the two sides tell each other before the first command.
type Hello struct {
	// Info is the client's opaque information, or the ServerInfo.
	Info []byte
	// MaxResultSize is the largest result that the client takes, in bytes; 0:
	// not said.
	MaxResultSize int
	// Status is the server's answer; RetryAfter and Text go with a refusal.
	Status     Status
	RetryAfter time.Duration
	Text       string
	// Settings are the server's.
	Settings ServerSettings
	// Session is what the client asks for; nil: no session.
	Session *Session
	// SessionTime is how long the server keeps a session without a connection.
	SessionTime time.Duration
	// Credentials are the client's.
	Credentials []byte
	// Compressions are those that the client takes, best first; Compression is
	// the server's choice, 0 for none.
	Compressions []uint64
	Compression  uint64
	// Catalogue is what the server's codec says of its commands; nil: nothing.
	Catalogue []byte
}

// SessionID names a session, and Session is a client's request for one.
type (
	SessionID = wire.SessionID
	Session   = wire.Session
)

// SlotState is what a Resume says of a slot.
type SlotState struct {
	Slot int
	// Seq is the open command, Seen how many of its results have come, and
	// Canceled tells that it was given up. The client says so.
	Seq      base.Seq
	Seen     int
	Canceled bool
	// Unseen tells that the command has not come. The server says so.
	Unseen bool
	// Inputs is how many were sent, or have come.
	Inputs int
	// Credit is how many more results, or inputs, may come.
	Credit int
}

// InputWindow is how many inputs a client may send before the server has given
// credit for any.
const InputWindow = 8

// AckAbove is the size in bytes above which a result is acknowledged at once.
const AckAbove = 1 << 10

// AckAfter is how many smaller results of a command come at most before they are acknowledged.
const AckAfter = 64

// AckBytes is how much the smaller results of a session count at most before they are
// acknowledged, all commands together: docs/spec.md, Q2.
const AckBytes = 64 << 10

// AckItem is what a small result counts beside its body, if it is not its command's first: it
// takes more memory than its command does anyway.
const AckItem = 64

// AckCost is how much the nth result of a command counts.
func AckCost(size, nth int) int {
	if size <= AckAbove && nth > 1 {
		size += AckItem
	}
	return size
}

// ServerSettings are the limits that a server announces to its clients.
type ServerSettings struct {
	// MaxCmdSize is the largest encoded command, in bytes. A client refuses a
	// larger one before it sends anything. 0: the default, 4 MiB.
	MaxCmdSize int
	// MaxInFlight is how many commands one connection may have open at once. At
	// the client more wait for their turn. 0: the default, 16384.
	MaxInFlight int
}

// Defaults of ServerSettings, and the client's MaxResultSize.
const (
	DefaultMaxCmdSize    = 4 << 20
	DefaultMaxInFlight   = 16384
	DefaultMaxResultSize = 4 << 20
)

// WithDefaults returns s with defaults in place of zeros.
func (s ServerSettings) WithDefaults() ServerSettings {
	if s.MaxCmdSize <= 0 {
		s.MaxCmdSize = DefaultMaxCmdSize
	}
	if s.MaxInFlight <= 0 {
		s.MaxInFlight = DefaultMaxInFlight
	}
	return s
}

// Status is a server's answer to a hello.
type Status uint8

// The statuses.
const (
	OK Status = iota
	Full
	Draining
	Version
	Unauthorized
	StaleEpoch
	SessionLost
	Refused
)
