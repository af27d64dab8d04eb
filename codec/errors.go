package codec

import (
	"fmt"
	"io"
	"reflect"

	"github.com/cmdstream/cmdstream/base"
)

// lookUp returns the entry of cmd, or an error with the given outcome.
func (s *Set[T]) lookUp(cmd base.Cmd[T], outcome base.Outcome) (*command[T], error) {
	if cmd == nil {
		return nil, &base.Error{Outcome: outcome, Code: base.ErrNilCmd, Message: "the command is nil"}
	}
	if known := s.byType[reflect.TypeOf(cmd)]; known != nil {
		return known, nil
	}
	inner := innerOf(reflect.TypeOf(cmd))
	return nil, &base.Error{
		Outcome: outcome, Code: base.ErrUnknownCmd, Cmd: inner.String(),
		Message: "the set has no such command" + s.hint(inner),
	}
}

// innerOf returns the C of an adapter, or t itself where it is none.
func innerOf(t reflect.Type) reflect.Type {
	isOurs := t.PkgPath() == reflect.TypeFor[base.End]().PkgPath()
	if isOurs && t.Kind() == reflect.Struct && t.NumField() == 1 && t.Field(0).Name == "Cmd" {
		return t.Field(0).Type
	}
	return t
}

// hint names the registered command that was probably meant: a pointer and its
// element are easily confused, and each is a type of its own.
func (s *Set[T]) hint(inner reflect.Type) string {
	for _, known := range s.byTag {
		switch {
		case known.inner == inner && known.streams:
			return ", it has it as a Stream only"
		case known.inner == inner:
			return ", it has it as a Unary only"
		case inner.Kind() == reflect.Pointer && known.inner == inner.Elem(),
			known.inner.Kind() == reflect.Pointer && known.inner.Elem() == inner:
			return fmt.Sprintf(", but it has %s: send or register the other", known.name())
		}
	}
	return ""
}

// fail returns an error about the command.
func (c *command[T]) fail(outcome base.Outcome, code base.Code, message string, err error) error {
	return &base.Error{Outcome: outcome, Code: code, Cmd: c.name(), Message: message, Err: err}
}

func (c *command[T]) readError(what string, outcome base.Outcome, err error) error {
	return readError(c.name(), what, outcome, err)
}

// readError tells a number that breaks the rules, which is the peer's doing,
// from an error of the reader. What the latter means for the command only the
// reader's owner knows: the peer may have sent too little, or the connection may
// be lost.
func readError(cmd, what string, outcome base.Outcome, err error) error {
	if err == errOverlong || err == errOverflow {
		return &base.Error{Outcome: outcome, Code: base.ErrDecode, Cmd: cmd, Message: "reading the " + what, Err: err}
	}
	return fmt.Errorf("cmdstream: reading the %s: %w", what, err)
}

func tooLarge(size uint64, limit int) string {
	return fmt.Sprintf("it has %d bytes, and the set's limit is %d", size, limit)
}

// skip reads n bytes away, so that what follows them can still be read. It does
// not follow a length beyond the limit, which would keep it reading for ever.
func skip(r io.Reader, n uint64, limit int) error {
	if n > uint64(limit) {
		return fmt.Errorf("not skipped: %s", tooLarge(n, limit))
	}
	if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
		return short(err)
	}
	return nil
}
