package codec

import (
	"bytes"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/catalogue"
	"github.com/cmdstream/cmdstream/transport"
)

// ClientCodec is the codec of a client. It may be used by many goroutines at
// once.
type ClientCodec[T any] struct{ set *Set[T] }

// Encode writes cmd to w, in one Write, whose error it returns as it is. All
// other errors are a [*base.Error] with the outcome NotSent, and nothing was
// written: [base.ErrNilCmd]; [base.ErrUnknownCmd] for a type that the set doesn't
// know; [base.ErrEncode], which wraps the error of the format;
// [base.ErrTooLargeCmd] beyond the limit of the set.
func (c *ClientCodec[T]) Encode(cmd base.Cmd[T], w transport.Writer) error {
	known, err := c.set.lookUp(cmd, base.NotSent)
	if err != nil {
		if q, ok := cmd.(question[T]); ok {
			return c.writeQuestion(q, w)
		}
		return err
	}
	if known.isNil(cmd) {
		return known.fail(base.NotSent, base.ErrNilCmd, "the command is a nil pointer", nil)
	}
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	encoded, err := known.appendTo(s.room(), cmd)
	if err != nil {
		return known.fail(base.NotSent, base.ErrEncode, fmt.Sprintf("it could not be encoded (tag %d)", known.tag), err)
	}
	size := len(encoded) - headRoom
	if size > c.set.limit {
		return known.fail(base.NotSent, base.ErrTooLargeCmd, tooLarge(uint64(size), c.set.limit), nil)
	}
	return s.write(w, encoded, known.tag, uint64(size))
}

// Size returns 0, not known: a format can't tell the size without encoding. The
// length of what Encode wrote is to be checked instead.
func (c *ClientCodec[T]) Size(base.Cmd[T]) int { return 0 }

// Decode skips one result and returns an error with the code
// [base.ErrUnsupported]: what a result is follows from the command, see
// [ClientCodec.DecodeFor]. It is there because a client's codec must have it.
func (c *ClientCodec[T]) Decode(r transport.Reader) (base.Result, error) {
	n, err := readUvarint(r)
	if err == nil && n > 1 {
		err = skip(r, n-1, c.set.limit)
	}
	return nil, &base.Error{
		Outcome: base.Failed, Code: base.ErrUnsupported, Err: err,
		Message: "a typed set decodes a result only with its command: use a client that calls DecodeFor",
	}
}

// DecodeFor reads one result of cmd: a [base.Value] of a Unary, a [base.Item] or
// [base.End] of a Stream. It reads nothing behind the result.
//
// An error of r is wrapped, an end within the result as io.ErrUnexpectedEOF. All
// other errors are a [*base.Error] with the outcome Failed: [base.ErrDecode],
// which wraps the error of the format; [base.ErrTooLargeResult] beyond the limit
// of the set; [base.ErrNilCmd] and [base.ErrUnknownCmd] for a cmd that Encode
// would not have taken. Where the format refused the result, it has been read
// whole; after any other error the place in r is not known.
func (c *ClientCodec[T]) DecodeFor(cmd base.Cmd[T], r transport.Reader) (base.Result, error) {
	known, err := c.set.lookUp(cmd, base.Failed)
	if err != nil {
		if _, ok := cmd.(question[T]); ok {
			return c.readAnswer(r)
		}
		return nil, err
	}
	n, err := readUvarint(r)
	if err != nil {
		return nil, known.readError("length of the result", base.Failed, err)
	}
	if n == 0 {
		if !known.streams {
			return nil, known.fail(base.Failed, base.ErrDecode,
				"an end of a stream came where one result was expected: do client and server agree on the tag?", nil)
		}
		return base.End{}, nil
	}
	n--
	if n > uint64(c.set.limit) {
		return nil, known.fail(base.Failed, base.ErrTooLargeResult, tooLarge(n, c.set.limit), nil)
	}
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	data, err := s.read(r, int(n))
	if err != nil {
		return nil, known.readError("result", base.Failed, err)
	}
	result, err := known.decodeResult(data)
	if err != nil {
		return nil, known.fail(base.Failed, base.ErrDecode,
			fmt.Sprintf("its result (tag %d, %d bytes) could not be decoded", known.tag, n), err)
	}
	return result, nil
}

// writeQuestion writes the reserved command.
func (c *ClientCodec[T]) writeQuestion(q question[T], w transport.Writer) error {
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	return s.write(w, append(s.room(), q.body...), catalogue.Tag, uint64(len(q.body)))
}

// readAnswer reads the result of the reserved command.
func (c *ClientCodec[T]) readAnswer(r transport.Reader) (base.Result, error) {
	n, err := readUvarint(r)
	if err != nil {
		return nil, readError("", "length of an answer", base.Failed, err)
	}
	if n == 0 || n-1 > maxList {
		return nil, &base.Error{Outcome: base.Failed, Code: base.ErrDecode, Message: "the server's answer about its commands can't be read: it has no length that is allowed"}
	}
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	text, err := s.read(r, int(n-1))
	if err != nil {
		return nil, readError("", "answer", base.Failed, err)
	}
	return answer{text: bytes.Clone(text), last: true}, nil
}
