package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/transport"
)

// agree finds out which commands the server lacks, or reads differently, where the codec
// knows that: they are refused from now on. It is called before the link's goroutine
// starts.
func (l *link[T]) agree(ctx context.Context, conn *transport.Conn, catalogue []byte) (err error) {
	codec, ok := l.client.codec.(agreer[T])
	if !ok {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = &base.Error{Outcome: base.NotSent, Code: base.ErrPanic, Message: fmt.Sprintf("the codec's Agree panicked: %v", v)}
		}
	}()
	refuse, ask, err := codec.Agree(catalogue)
	if err == nil && ask != nil {
		if catalogue, err = l.ask(ctx, conn, ask); err != nil {
			return err
		}
		if refuse, ask, err = codec.Agree(catalogue); ask != nil {
			err = errors.New("it wants to be asked again")
		}
	}
	if err != nil {
		return transport.BrokenRule("what the server says of its commands can't be read: %v", err)
	}
	l.refuse = refuse
	return nil
}

// ask asks the server for a catalogue that is too long for its hello. The error is the
// connection's end.
func (l *link[T]) ask(ctx context.Context, conn *transport.Conn, question base.Cmd[T]) ([]byte, error) {
	timeout := l.client.conf.SysDataReceiveTimeout
	if timeout <= 0 {
		timeout = delegate.DefaultHelloTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		conn.Fail(&base.Error{Outcome: base.NotSent, Code: base.ErrHello, Message: "the server did not tell its commands in time", Err: context.Cause(ctx)})
	})()
	k := call[T]{cmd: question, owner: waiting}
	k.clock, k.parent = &l.client.clock, ctx
	defer k.over()
	s, _, err := l.client.sendOn(l, conn, &k)
	if err != nil {
		return nil, err
	}
	for !s.hasCome() {
		if err := l.receive(conn); err != nil {
			return nil, err
		}
	}
	result, err := s.result(ctx)
	l.completed.Store(false) // an answer is no command
	switch {
	case conn.Err() != nil:
		return nil, conn.Err()
	case err != nil: // without an answer a command could be taken for another
		return nil, unanswered(err)
	}
	answer, ok := result.(interface{ Bytes() []byte })
	if !ok {
		return nil, unanswered(errors.New("its answer is of another kind"))
	}
	return answer.Bytes(), nil
}

// unanswered is the end of a connection whose server does not tell its commands.
func unanswered(err error) error {
	e := &base.Error{Outcome: base.NotSent, Code: base.ErrHello}
	var why *base.Error
	if errors.As(err, &why) {
		e.Code, e.Remote, e.RetryAfter = why.Code, why.Remote, why.RetryAfter
	}
	e.Message, e.Err = fmt.Sprintf("the server was asked for its commands, and does not tell them: %v", err), err
	return e
}
