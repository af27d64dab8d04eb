package codec

import (
	"fmt"
	"reflect"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/catalogue"
	"github.com/cmdstream/cmdstream/transport"
)

// ServerCodec is the codec of a server. It may be used by many goroutines at
// once.
type ServerCodec[T any] struct{ set *Set[T] }

// Encode writes a result to w, in one Write, whose error it returns as it is.
// All other errors are a [*base.Error] with the outcome Failed, and nothing was
// written: [base.ErrEncode] for a result that no command of the set has, and for
// one that the format refuses, whose error it wraps; [base.ErrTooLargeResult]
// beyond the limit of the set.
func (c *ServerCodec[T]) Encode(result base.Result, w transport.Writer) error {
	if _, ok := result.(base.End); ok {
		return w.WriteByte(0)
	}
	appendTo := c.set.results[reflect.TypeOf(result)]
	if appendTo == nil {
		if a, ok := result.(answer); ok {
			return c.writeAnswer(a, w)
		}
		return failedResult(base.ErrEncode, fmt.Sprintf("no command of the set has a result of the type %T", result), nil)
	}
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	encoded, err := appendTo(s.room(), result)
	if err != nil {
		return failedResult(base.ErrEncode, fmt.Sprintf("a result of the type %T could not be encoded", result), err)
	}
	size := len(encoded) - headRoom
	if size > c.set.limit {
		return failedResult(base.ErrTooLargeResult, tooLarge(uint64(size), c.set.limit), nil)
	}
	return s.write(w, encoded, uint64(size)+1)
}

// writeAnswer writes the result of a question.
func (c *ServerCodec[T]) writeAnswer(a answer, w transport.Writer) error {
	limit := c.set.limit
	if a.list {
		limit = maxList
	}
	if len(a.text) > limit {
		return failedResult(base.ErrTooLargeResult, tooLarge(uint64(len(a.text)), limit), nil)
	}
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	return s.write(w, append(s.room(), a.text...), uint64(len(a.text))+1)
}

func failedResult(code base.Code, message string, err error) error {
	return &base.Error{Outcome: base.Failed, Code: code, Message: message, Err: err}
}

// Decode reads one command, a [base.Unary] or a [base.Stream] with the user's
// command inside. It reads nothing behind the command.
//
// An error of r is wrapped, an end within the command as io.ErrUnexpectedEOF.
// All other errors are a [*base.Error] with the outcome Rejected:
// [base.ErrUnknownCmd] for a tag that the set doesn't know; [base.ErrDecode],
// which wraps the error of the format; [base.ErrNilCmd] for a body that stands
// for nil; [base.ErrTooLargeCmd] beyond the limit of the set. After an unknown
// tag (within the limit), a refused body and a nil the command has been read
// whole; after any other error the place in r is not known.
func (c *ServerCodec[T]) Decode(r transport.Reader) (base.Cmd[T], error) {
	tag, err := readUvarint(r)
	if err != nil {
		return nil, readError("", "tag", base.Rejected, err)
	}
	if tag == catalogue.Tag {
		return c.set.decodeQuestion(r)
	}
	n, err := readUvarint(r)
	known := c.set.byTag[tag]
	if known == nil {
		if err == nil {
			err = skip(r, n, c.set.limit)
		}
		return nil, &base.Error{
			Outcome: base.Rejected, Code: base.ErrUnknownCmd, Err: err,
			Message: fmt.Sprintf("the set has no command with the tag %d", tag),
		}
	}
	if err != nil {
		return nil, known.readError("length of the command", base.Rejected, err)
	}
	if n > uint64(c.set.limit) {
		return nil, known.fail(base.Rejected, base.ErrTooLargeCmd, tooLarge(n, c.set.limit), nil)
	}
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	data, err := s.read(r, int(n))
	if err != nil {
		return nil, known.readError("command", base.Rejected, err)
	}
	cmd, err := known.decode(data)
	if err != nil {
		return nil, known.fail(base.Rejected, base.ErrDecode,
			fmt.Sprintf("its body (tag %d, %d bytes) could not be decoded", tag, n), err)
	}
	if known.isNil(cmd) {
		return nil, known.fail(base.Rejected, base.ErrNilCmd,
			fmt.Sprintf("its body (tag %d) stands for a nil pointer", tag), nil)
	}
	return cmd, nil
}
