package codec

import (
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// EncodeInput writes an input of cmd, a [base.Exchange], to w, in one Write, whose
// error it returns as it is. All other errors are a [*base.Error], and nothing was
// written: [base.ErrUnsupported] for a command that is sent no inputs; [base.ErrEncode],
// which wraps the error of the format; [base.ErrTooLargeCmd] beyond the limit of the
// set.
func (c *ClientCodec[T]) EncodeInput(cmd base.Cmd[T], input any, w transport.Writer) error {
	known, err := c.set.takesInputs(cmd)
	if err != nil {
		return err
	}
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	encoded, err := known.appendInput(s.room(), input)
	if err != nil {
		return known.fail(base.Unknown, base.ErrEncode, "its input could not be encoded", err)
	}
	size := len(encoded) - headRoom
	if size > c.set.limit {
		return known.fail(base.Unknown, base.ErrTooLargeCmd, "its input is too large: "+tooLarge(uint64(size), c.set.limit), nil)
	}
	return s.write(w, encoded, uint64(size))
}

// DecodeInput reads an input of cmd, a [base.Exchange]. The errors are those of
// [ServerCodec.Decode], with the outcome Failed.
func (c *ServerCodec[T]) DecodeInput(cmd base.Cmd[T], r transport.Reader) (any, error) {
	known, err := c.set.takesInputs(cmd)
	if err != nil {
		return nil, err
	}
	n, err := readUvarint(r)
	if err != nil {
		return nil, known.readError("length of the input", base.Failed, err)
	}
	if n > uint64(c.set.limit) {
		return nil, known.fail(base.Failed, base.ErrTooLargeCmd, tooLarge(n, c.set.limit), nil)
	}
	s := c.set.scratch.get()
	defer c.set.scratch.put(s)
	data, err := s.read(r, int(n))
	if err != nil {
		return nil, known.readError("input", base.Failed, err)
	}
	input, err := known.decodeInput(data)
	if err != nil {
		return nil, known.fail(base.Failed, base.ErrDecode, fmt.Sprintf("its input (%d bytes) could not be decoded", n), err)
	}
	return input, nil
}

// takesInputs returns the entry of a command that is sent inputs.
func (s *Set[T]) takesInputs(cmd base.Cmd[T]) (*command[T], error) {
	known, err := s.lookUp(cmd, base.Unknown)
	if err == nil && known.input == nil {
		err = known.fail(base.Unknown, base.ErrUnsupported, "it is sent no inputs: register it by codec.Exchange", nil)
	}
	return known, err
}
