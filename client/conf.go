package client

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/transport"
)

// Codec encodes commands and decodes results. It is used by many goroutines at
// once.
//
// Size is the length in bytes that Encode would write; it is held against the
// server's MaxCmdSize before anything is sent. 0 says that it is not known
// without encoding: the encoded length is then checked instead.
//
// A codec whose results can't be told apart by themselves may have a further
// method, DecodeFor(base.Cmd[T], transport.Reader) (base.Result, error), which
// is then called instead of Decode, with the command that was sent.
//
// For commands that are sent inputs while they run it has EncodeInput(base.Cmd[T],
// any, transport.Writer) error.
type Codec[T any] interface {
	Encode(cmd base.Cmd[T], w transport.Writer) error
	Decode(r transport.Reader) (base.Result, error)
	Size(cmd base.Cmd[T]) int
}

// inputEncoder is a further method that a Codec may have: it encodes what a command
// of Open is sent while it runs.
type inputEncoder[T any] interface {
	EncodeInput(cmd base.Cmd[T], input any, w transport.Writer) error
}

// decoderFor is the further method that a Codec may have.
type decoderFor[T any] interface {
	DecodeFor(cmd base.Cmd[T], r transport.Reader) (base.Result, error)
}

// agreer is a further method that a Codec may have: it is told what a server says of its
// commands, and returns a function that refuses those which don't go there. If it returns
// a command, the server is asked by that first; the result tells by a method Bytes what
// Agree is to read.
type agreer[T any] interface {
	Agree(catalogue []byte) (refuse func(cmd base.Cmd[T]) error, ask base.Cmd[T], err error)
}

// UnexpectedResultCallback hears of results that nobody waits for: of commands
// that were forgotten or given up. seq is 0 where a result belongs to no command
// that the client knows. The calls come one after another, from a goroutine of
// their own.
type UnexpectedResultCallback func(seq base.Seq, result base.Result)

// Conf configures a client. The zero value works.
type Conf struct {
	// Timeout is the deadline of every command, from the call on; 0: none. A ctx
	// with an earlier deadline counts instead. It costs no allocation, and ends
	// a command at most 2 ms late.
	Timeout time.Duration
	// SendTimeout bounds how long Send waits to send a command: for a
	// connection, for a place among the commands in flight, for room in the send
	// buffer. 0: 30 s.
	SendTimeout time.Duration
	// KeepaliveTime and KeepaliveIntvl, if both are set, keep the connection
	// alive and find out when it is not: after KeepaliveTime without a command,
	// and after KeepaliveTime without a byte from the server while commands are
	// open, the client pings, and goes on every KeepaliveIntvl while no command
	// is sent. If nothing at all comes from the server within KeepaliveIntvl
	// after a ping, the connection has failed. 0: no keepalive.
	KeepaliveTime  time.Duration
	KeepaliveIntvl time.Duration
	// SysDataReceiveTimeout bounds the hello, in which ServerInfo and
	// ServerSettings are received, TLS handshake included; 0: 10 s.
	SysDataReceiveTimeout time.Duration
	// WriteTimeout bounds each write, of 128 KiB at most: a server that does not read
	// for so long, while there is something to write, is given up. 0: 30 s.
	WriteTimeout time.Duration
	// ServerInfo is the one that the server must have; nil: "default".
	ServerInfo []byte
	// CheckServerInfo, if set, decides instead of comparing with ServerInfo. It is
	// called in the hello of each connection, with sessions from several goroutines
	// at once. An error ends the client.
	CheckServerInfo func(info []byte) error
	// UnexpectedResultCallback, if set, hears of results that nobody waits for.
	UnexpectedResultCallback UnexpectedResultCallback
	// MaxInFlight is how many commands may be open at once on a connection; more
	// wait for their turn. 0: as many as the server allows; never more.
	MaxInFlight int
	// MaxResultSize is the largest encoded result that is taken, in bytes; a
	// larger one fails its command. 0: 4 MiB.
	MaxResultSize int
	// MaxBytes is how many bytes of results the client holds: of those that are on
	// their way in pieces, and of those that have come and that nobody has taken yet.
	// A result for which there is no room is dropped, and fails its command alone, as
	// base.ErrBusy. Up to 4 KiB of each command's results are not counted, so that
	// a few small ones always find room, nor is what it takes to keep them apart: 12 bytes
	// each, and 64 more for each above 4 KiB. It is not less than MaxResultSize. transport.Plain does not count: there the
	// client stops reading. 0: 256 MiB, or MaxResultSize if that is more.
	MaxBytes int
	// Backoff says how a client of NewReconnect spaces its attempts to connect.
	Backoff Backoff
	// FailFast is for who has better to do than to wait, such as another client to turn to, as
	// package group has, or a policy of package policy. What finds no connection, of a client
	// of NewReconnect, ends at once, as NotSent, base.ErrNotConnected, and does not wait for
	// the next one. A command that is idempotent is not sent again by the client, but in a
	// session. A command of Send whose connection was lost before it went out has its Seq by
	// then: it waits as ever.
	FailFast bool
	// FirstSeq is the Seq of the first command; 0: 1. Clients whose results go into one
	// channel can be told apart by it.
	FirstSeq base.Seq
	// StateCallback, if set, hears of every change of the client's state. The
	// calls come one after another, from a goroutine of their own; the client
	// does not wait for them.
	StateCallback func(StateChange)
	// Session lets commands outlive a lost connection, for a client of NewReconnect:
	// the server goes on running them and keeps their results, and the client,
	// once it is connected again, goes on where each of them stands. So a command
	// runs at most once while neither the client nor the server process ends, and
	// no result is lost or comes twice. If the server has lost the session, or does not
	// let this client resume it, open commands end as Unknown, base.ErrSessionLost, and
	// the client opens another. Without KeepaliveTime and KeepaliveIntvl these are 15 s
	// and 5 s then. A server that keeps no sessions is base.ErrUnsupported.
	Session bool
	// Info is told to the server in the hello: opaque bytes, with all else in the
	// hello 8 KiB at most.
	Info []byte
	// Credentials, if set, returns what the server's Authenticate checks, 4 KiB at
	// most. It is called for the hello of each connection; ctx ends with that. An
	// error is base.ErrUnauthorized, and the client gives up.
	Credentials func(ctx context.Context) ([]byte, error)
	// Compressions are those that may be used, best first; the server chooses. None:
	// nothing is compressed.
	Compressions []transport.Compression
	// CompressAbove is the size in bytes above which a command is compressed, where a
	// compression was agreed upon; 0: 1 KiB.
	CompressAbove int
	// Transport makes the wire of each connection; nil: transport.Framed.
	Transport transport.Factory
	// Logger gets the client's log; nil: slog.Default().
	Logger *slog.Logger
}

// Backoff is the waiting between attempts to connect: exponential, with full
// jitter.
type Backoff = delegate.Backoff

// Defaults of Conf.
const (
	DefaultSendTimeout           = 30 * time.Second
	DefaultSessionKeepaliveTime  = 15 * time.Second
	DefaultSessionKeepaliveIntvl = 5 * time.Second
	DefaultCompressAbove         = 1 << 10 // bytes
	DefaultMaxBytes              = 256 << 20
)

// withDefaults returns conf with defaults in place of zeros, or what is wrong
// with it.
func (conf Conf) withDefaults() (Conf, error) {
	for name, v := range map[string]int64{
		"Timeout": int64(conf.Timeout), "SendTimeout": int64(conf.SendTimeout),
		"KeepaliveTime": int64(conf.KeepaliveTime), "KeepaliveIntvl": int64(conf.KeepaliveIntvl),
		"SysDataReceiveTimeout": int64(conf.SysDataReceiveTimeout), "WriteTimeout": int64(conf.WriteTimeout),
		"CompressAbove": int64(conf.CompressAbove),
		"FirstSeq":      int64(conf.FirstSeq),
		"MaxInFlight":   int64(conf.MaxInFlight), "MaxResultSize": int64(conf.MaxResultSize), "MaxBytes": int64(conf.MaxBytes),
		"Backoff.First": int64(conf.Backoff.First), "Backoff.Max": int64(conf.Backoff.Max), "Backoff.Reset": int64(conf.Backoff.Reset),
	} {
		if v < 0 {
			return conf, confError(base.ErrConf, "%s is negative", name)
		}
	}
	if len(conf.ServerInfo) > transport.MaxServerInfo {
		return conf, confError(base.ErrConf, "ServerInfo has %d bytes, the limit is %d", len(conf.ServerInfo), transport.MaxServerInfo)
	}
	if conf.Session && conf.KeepaliveTime == 0 && conf.KeepaliveIntvl == 0 {
		conf.KeepaliveTime, conf.KeepaliveIntvl = DefaultSessionKeepaliveTime, DefaultSessionKeepaliveIntvl
	}
	if conf.CompressAbove == 0 {
		conf.CompressAbove = DefaultCompressAbove
	}
	if conf.SendTimeout == 0 {
		conf.SendTimeout = DefaultSendTimeout
	}
	if conf.MaxResultSize == 0 {
		conf.MaxResultSize = transport.DefaultMaxResultSize
	}
	if conf.MaxBytes == 0 {
		conf.MaxBytes = max(DefaultMaxBytes, conf.MaxResultSize)
	}
	if conf.MaxBytes < conf.MaxResultSize {
		return conf, confError(base.ErrConf, "MaxBytes is %d, and MaxResultSize %d: a result of that size could never come", conf.MaxBytes, conf.MaxResultSize)
	}
	if conf.Logger == nil {
		conf.Logger = slog.Default()
	}
	conf.Backoff = conf.Backoff.WithDefaults()
	return conf, nil
}

func confError(code base.Code, format string, args ...any) error {
	return &base.Error{Outcome: base.NotSent, Code: code, Message: "client: " + fmt.Sprintf(format, args...)}
}
