// Package server runs the commands of many clients.
//
//	s := server.NewDef[Calculator](ServerCodec{}, Calculator{})
//	err := s.ListenAndServe(":9000")
package server

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/transport"
)

// The errors of a server, as errors.Is finds them.
const (
	// ErrClosed is what Serve returns after Shutdown or Close.
	ErrClosed = base.ErrClosed
	// ErrNoClient is what Serve returns after FirstConnTimeout.
	ErrNoClient = base.ErrNoClient
)

// Server serves clients on any number of listeners. It is safe for concurrent
// use.
type Server struct {
	conf   common
	logger *slog.Logger
	pool   *handler.Pool
	// What depends on the receiver's type.
	sessions sessions
	release  func() // lets go of the handler

	ctx    context.Context // ends hellos that are under way
	cancel context.CancelCauseFunc
	hellos chan struct{} // a place for each hello under way

	refusals       [transport.Refused + 1]atomic.Uint64 // hellos, by status
	failedHellos   atomic.Uint64
	tooManyHellos  atomic.Uint64
	acceptFailures atomic.Uint64

	freed chan struct{} // of capacity 1: a place has become free

	mu        sync.Mutex // protects what follows
	state     state
	why       error // why it is not serving any more
	listeners map[net.Listener]struct{}
	workers   map[worker]struct{}
	places    int  // taken of WorkersCount: by workers, and by clients whose hello is being answered
	accepted  bool // a connection has come, ever
	tasks     sync.WaitGroup
}

// common is the part of Conf that does not depend on the receiver's type.
type common struct {
	workersCount     int
	fullRetryAfter   time.Duration
	firstConnTimeout time.Duration
	receiveTimeout   time.Duration
	sessionReceive   time.Duration
	lostConn         LostConnCallback
	delegate         delegate.ServerConf
	authenticate     func(ctx context.Context, hello ClientHello) (context.Context, string, error)
	compressions     []transport.Compression
	sessionTime      time.Duration           // 0: no sessions
	wrap             func(net.Conn) net.Conn // TLS
}

// worker is one connected client: a *handler.Conn.
type worker interface {
	Start(ended func(error))
	Drain(retryAfter time.Duration)
	Running() int
	Goaway() bool
	Close(reason error, within time.Duration)
	Info() handler.ConnInfo
}

type state uint8

const (
	serving state = iota
	draining
	closed
)

// NewDef returns a server with the default Conf, that runs commands against
// receiver. It panics if codec is nil.
func NewDef[T any](codec Codec[T], receiver T) *Server {
	s, err := New(codec, receiver, Conf[T]{})
	if err != nil {
		panic(err)
	}
	return s
}

// New returns a server. The error is base.ErrConf, for a Conf that can't be used.
func New[T any](codec Codec[T], receiver T, conf Conf[T]) (*Server, error) {
	if codec == nil {
		return nil, confError("the codec is nil")
	}
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	if conf.Invoker == nil {
		conf.Invoker = handler.NewInvoker(receiver)
	}
	for i := len(conf.Use) - 1; i >= 0; i-- {
		if conf.Use[i] == nil {
			return nil, confError("Use[%d] is nil", i)
		}
		if conf.Invoker = conf.Use[i](conf.Invoker); conf.Invoker == nil {
			return nil, confError("Use[%d] has made a nil Invoker", i)
		}
	}
	pool := handler.NewPool()
	h := handler.New(handler.Conf[T]{
		Codec: codec, Invoker: conf.Invoker, MaxInFlight: conf.ServerSettings.MaxInFlight,
		MaxRunning: conf.MaxRunning, MaxQueued: conf.MaxQueued, MaxQueueTime: conf.MaxQueueTime,
		MaxConnBytes: conf.MaxConnBytes, MaxBytes: conf.MaxBytes, BodyTimeout: conf.BodyTimeout,
		MaxCmdSize: conf.ServerSettings.MaxCmdSize, CompressAbove: conf.CompressAbove,
		Sessions: handler.SessionConf{
			Time: conf.Sessions.Time, Max: conf.Sessions.Max,
			MaxBytes: conf.Sessions.MaxBytes, TotalBytes: conf.Sessions.TotalBytes,
		},
		Strict: conf.Strict, OnPanic: conf.OnPanic, Logger: conf.Logger,
	}, pool)
	var catalogue []byte
	if c, ok := codec.(interface{ Catalogue() []byte }); ok {
		catalogue = c.Catalogue()
	}
	sessionTime := conf.Sessions.Time
	if conf.Sessions.Disabled {
		sessionTime = 0
	}
	s := &Server{
		conf: common{
			workersCount: conf.WorkersCount, fullRetryAfter: conf.FullRetryAfter,
			firstConnTimeout: conf.FirstConnTimeout, receiveTimeout: conf.ReceiveTimeout, sessionReceive: conf.Sessions.ReceiveTimeout,
			lostConn: conf.LostConnCallback,
			delegate: delegate.ServerConf{
				ConnConf: delegate.ConnConf{
					Transport: conf.Transport, HelloTimeout: conf.SysDataSendTimeout,
					WriteTimeout: conf.WriteTimeout, Decode: h.Decode,
				},
				Info: conf.ServerInfo, Settings: conf.ServerSettings, Catalogue: catalogue,
			},
			wrap:         tlsWrapper(conf.TLSConfig),
			authenticate: conf.Authenticate, compressions: conf.Compressions, sessionTime: sessionTime,
		},
		logger:    conf.Logger,
		pool:      pool,
		sessions:  typed[T]{h},
		release:   h.Close,
		hellos:    make(chan struct{}, conf.MaxHellos),
		listeners: make(map[net.Listener]struct{}),
		workers:   make(map[worker]struct{}),
		freed:     make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

// ListenAndServe listens on the TCP address addr, such as ":9000", and serves.
func (s *Server) ListenAndServe(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return s.Serve(l)
}
