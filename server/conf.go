package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/transport"
)

// Codec encodes results and decodes commands. It is used by many goroutines at
// once.
//
// A command that Decode refuses is Rejected, and the others go on; if the error
// is an [*base.Error], its Code travels. A result that Encode refuses makes
// proxy.Send return the error.
//
// For commands that are sent inputs while they run it has a further method,
// DecodeInput(base.Cmd[T], transport.Reader) (any, error).
type Codec[T any] interface {
	Encode(result base.Result, w transport.Writer) error
	Decode(r transport.Reader) (base.Cmd[T], error)
}

// Settings are the limits that the server announces to its clients.
type Settings = transport.ServerSettings

// LostConnCallback hears that the server has lost the connection with a client,
// and why. It is not called for connections that the server itself ends by
// Shutdown or Close. It must be safe for concurrent use.
type LostConnCallback = func(addr net.Addr, err error)

// Conf configures a server. The zero value works.
type Conf[T any] struct {
	// WorkersCount is how many clients may be connected at once; 0: 1024. One
	// more is told so, and to try again after FullRetryAfter.
	WorkersCount int
	// FullRetryAfter is what a client is told to wait when there is no place for
	// it; 0: 500 ms.
	FullRetryAfter time.Duration
	// MaxHellos is how many connections may be in their hello at once, beside
	// WorkersCount; more are closed at once. 0: 1024.
	MaxHellos int
	// FirstConnTimeout ends the server, and Serve with base.ErrNoClient, if no
	// connection comes for so long after Serve was called; 0: never.
	FirstConnTimeout time.Duration
	// LostConnCallback, if set, hears of lost connections.
	LostConnCallback LostConnCallback
	// ReceiveTimeout closes the connection of a client that has sent nothing,
	// not even a ping, for so long, whether its commands are running or not; 0:
	// never.
	ReceiveTimeout time.Duration
	// SysDataSendTimeout bounds the hello, in which ServerInfo and
	// ServerSettings are sent, TLS handshake included; 0: 10 s.
	SysDataSendTimeout time.Duration
	// WriteTimeout bounds each write: a client that does not read for so long,
	// while there is something to write, is cut. 0: 30 s.
	WriteTimeout time.Duration
	// ServerInfo tells the clients what this server is: opaque bytes, 1 KiB at
	// most; nil: "default". Clients check it before their first command.
	ServerInfo []byte
	// ServerSettings are announced to the clients, and enforced.
	ServerSettings Settings
	// Authenticate, if set, decides who may connect. It sees each client's hello, and
	// returns the ctx from which the commands' ctx take their values, those of a session
	// that is resumed from then on, and the name of the principal: a session can be
	// resumed by the principal that opened it and by nobody else. An error refuses the
	// client, base.ErrUnauthorized, with its text. ctx ends with the hello. Without it a
	// session belongs to the client's certificate, if there is one, and credentials are
	// refused. It must be safe for concurrent use.
	Authenticate func(ctx context.Context, hello ClientHello) (context.Context, string, error)
	// Sessions bounds the sessions of clients with client.Conf.Session.
	Sessions Sessions
	// Compressions are those that may be used; the client's order counts. None:
	// nothing is compressed.
	Compressions []transport.Compression
	// CompressAbove is the size in bytes above which a result is compressed, where a
	// compression was agreed upon; 0: 1 KiB.
	CompressAbove int
	// MaxRunning is how many commands run at once, of all clients together; 0:
	// 131072. MaxQueued more wait for their turn; 0: 16384. What would wait for
	// longer than its deadline, or than MaxQueueTime (0: 1 s), is Rejected at once,
	// base.ErrBusy, and told when to try again.
	MaxRunning   int
	MaxQueued    int
	MaxQueueTime time.Duration
	// MaxConnBytes is how many bytes of commands, their metadata and their inputs one
	// connection may hold, those on their way included; 0: 64 MiB. MaxBytes is the same for
	// the whole server; 0: 512 MiB. What has no room is Rejected, base.ErrBusy, and so ends a
	// command whose input has none. Commands up to 4 KiB that came in one frame are not
	// counted, nor are 4 KiB of inputs that wait for one: MaxInFlight bounds them. Neither
	// should be less than MaxCmdSize: what never fits is refused as busy, too.
	MaxConnBytes int
	MaxBytes     int
	// BodyTimeout ends the connection of a client that has begun bodies, in pieces, and
	// does not send them: they hold memory. Within this time an eighth of what they are
	// to have, with their metadata, must come. 0: 2 minutes.
	BodyTimeout time.Duration
	// Invoker runs the commands; nil: it calls their Exec with the receiver.
	Invoker handler.Invoker[T]
	// Use is what each command passes through on its way to Invoker, the first one first.
	Use []handler.Middleware[T]
	// Transport makes the wire of each connection; nil: transport.Framed.
	Transport transport.Factory
	// TLSConfig, if set, makes every connection a TLS one. With its ClientAuth
	// the client's certificate is asked for; base.TLS finds it in a command's ctx.
	TLSConfig *tls.Config
	// Strict closes the connection when the codec refuses a command, which
	// otherwise is Rejected alone.
	Strict bool
	// OnPanic hears of panics in commands and codecs, each of which fails its
	// command alone; nil: they are logged. It must be safe for concurrent use.
	OnPanic func(handler.Panic)
	// Logger gets the server's log; nil: slog.Default().
	Logger *slog.Logger
}

// ClientHello is what a client says of itself before its first command.
type ClientHello struct {
	// Info and Credentials are opaque here: client.Conf has them.
	Info        []byte
	Credentials []byte
	// LocalAddr and RemoteAddr are the connection's.
	LocalAddr  net.Addr
	RemoteAddr net.Addr
	// TLS is the state of TLS; nil: there is none.
	TLS *tls.ConnectionState
}

// Sessions bounds what a server keeps for clients that lost their connection.
type Sessions struct {
	// Disabled refuses clients that ask for a session.
	Disabled bool
	// Time is how long a session is kept without a connection; 0: 1 minute.
	Time time.Duration
	// Max is how many are kept so; one more costs the one that was left first. 0:
	// 1024.
	Max int
	// MaxBytes is how many bytes of results are kept for one session until its client has
	// acknowledged them; a command that would send more waits. Results up to a kibibyte and
	// larger ones may be as many each; of the former there is room for 128 KiB in any case,
	// of the latter for one. The texts of errors above 256 bytes have a room like that of
	// small results, and are left out where they find none. 0: 4 MiB.
	MaxBytes int
	// TotalBytes is the same for all sessions, what each has room for in any case apart: none
	// gets more than its share of it, but for one result. Above it, of those without a
	// connection that keep more than that room, the one that was left first is given up. 0:
	// 256 MiB.
	TotalBytes int
	// ReceiveTimeout is Conf.ReceiveTimeout for clients with a session, where that is
	// 0: a client that has gone without a word would be kept for ever. One that is
	// merely silent resumes its session at once. 0: 15 minutes.
	ReceiveTimeout time.Duration
}

// Defaults of Sessions.
const (
	DefaultSessionTime       = time.Minute
	DefaultSessionReceive    = 15 * time.Minute
	DefaultMaxSessions       = 1024
	DefaultSessionBytes      = 4 << 20
	DefaultTotalSessionBytes = 256 << 20
)

func (s Sessions) withDefaults() Sessions {
	for v, d := range map[*int]int{
		&s.Max: DefaultMaxSessions, &s.MaxBytes: DefaultSessionBytes, &s.TotalBytes: DefaultTotalSessionBytes,
	} {
		if *v == 0 {
			*v = d
		}
	}
	if s.Time == 0 {
		s.Time = DefaultSessionTime
	}
	if s.ReceiveTimeout == 0 {
		s.ReceiveTimeout = DefaultSessionReceive
	}
	return s
}

// Defaults of Conf.
const (
	DefaultCompressAbove  = 1 << 10 // bytes
	DefaultMaxRunning     = 131072
	DefaultMaxQueued      = 16384
	DefaultMaxQueueTime   = time.Second
	DefaultMaxConnBytes   = 64 << 20
	DefaultMaxBytes       = 512 << 20
	DefaultBodyTimeout    = 2 * time.Minute
	DefaultWorkersCount   = 1024
	DefaultMaxHellos      = 1024
	DefaultFullRetryAfter = 500 * time.Millisecond
)

// withDefaults returns conf with defaults in place of zeros, or what is wrong
// with it.
func (conf Conf[T]) withDefaults() (Conf[T], error) {
	for name, v := range map[string]int64{
		"WorkersCount": int64(conf.WorkersCount), "MaxHellos": int64(conf.MaxHellos),
		"FirstConnTimeout": int64(conf.FirstConnTimeout), "ReceiveTimeout": int64(conf.ReceiveTimeout),
		"SysDataSendTimeout": int64(conf.SysDataSendTimeout), "WriteTimeout": int64(conf.WriteTimeout),
		"CompressAbove": int64(conf.CompressAbove), "MaxRunning": int64(conf.MaxRunning),
		"MaxQueued": int64(conf.MaxQueued), "MaxQueueTime": int64(conf.MaxQueueTime), "BodyTimeout": int64(conf.BodyTimeout),
		"MaxConnBytes": int64(conf.MaxConnBytes), "MaxBytes": int64(conf.MaxBytes),
		"Sessions.Time": int64(conf.Sessions.Time), "Sessions.ReceiveTimeout": int64(conf.Sessions.ReceiveTimeout), "Sessions.Max": int64(conf.Sessions.Max),
		"Sessions.MaxBytes": int64(conf.Sessions.MaxBytes), "Sessions.TotalBytes": int64(conf.Sessions.TotalBytes),
		"FullRetryAfter":            int64(conf.FullRetryAfter),
		"ServerSettings.MaxCmdSize": int64(conf.ServerSettings.MaxCmdSize), "ServerSettings.MaxInFlight": int64(conf.ServerSettings.MaxInFlight),
	} {
		if v < 0 {
			return conf, confError("%s is negative", name)
		}
	}
	if len(conf.ServerInfo) > transport.MaxServerInfo {
		return conf, confError("ServerInfo has %d bytes, the limit is %d", len(conf.ServerInfo), transport.MaxServerInfo)
	}
	if conf.WorkersCount == 0 {
		conf.WorkersCount = DefaultWorkersCount
	}
	if conf.MaxHellos == 0 {
		conf.MaxHellos = DefaultMaxHellos
	}
	if conf.FullRetryAfter == 0 {
		conf.FullRetryAfter = DefaultFullRetryAfter
	}
	for v, d := range map[*int]int{
		&conf.CompressAbove: DefaultCompressAbove, &conf.MaxRunning: DefaultMaxRunning, &conf.MaxQueued: DefaultMaxQueued,
		&conf.MaxConnBytes: DefaultMaxConnBytes, &conf.MaxBytes: DefaultMaxBytes,
	} {
		if *v == 0 {
			*v = d
		}
	}
	if conf.MaxQueueTime == 0 {
		conf.MaxQueueTime = DefaultMaxQueueTime
	}
	if conf.BodyTimeout == 0 {
		conf.BodyTimeout = DefaultBodyTimeout
	}
	conf.Sessions = conf.Sessions.withDefaults()
	if conf.Logger == nil {
		conf.Logger = slog.Default()
	}
	conf.ServerSettings = conf.ServerSettings.WithDefaults()
	return conf, nil
}

func confError(format string, args ...any) error {
	return &base.Error{Outcome: base.NotSent, Code: base.ErrConf, Message: "server: " + fmt.Sprintf(format, args...)}
}
