package handler

import (
	"errors"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// compress compresses the result in scratch into packed, where the session has a
// compression and the result is worth it.
func (x *command[T]) compress() error {
	x.packed.Reset()
	body, compression := x.scratch.B, x.session.compression
	if compression == nil || len(body) <= x.session.handler.CompressAbove {
		return nil
	}
	packed, err := compression.Compress(x.packed.B, body)
	if err != nil {
		return &base.Error{Outcome: base.Failed, Code: base.ErrEncode, Seq: x.seq, Message: "a result can't be compressed", Err: err}
	}
	if len(packed) < len(body) {
		x.packed.B = packed
	}
	return nil
}

// result is the message of the result that is encoded.
func (x *command[T]) result(last bool) transport.Message {
	m := transport.Message{Kind: transport.Result, Slot: x.slot, Last: last, Body: x.scratch.B}
	if len(x.packed.B) > 0 {
		m.Body, m.Compressed = x.packed.B, true
	}
	return m
}

// decompress returns what the body of a command, or of an input, was before it was
// compressed.
func (s *Session[T]) decompress(body []byte) ([]byte, *base.Error) {
	limit := s.handler.MaxCmdSize
	if s.compression == nil {
		return nil, &base.Error{Outcome: base.Rejected, Code: base.ErrDecode, Message: "the body is compressed, and no compression was agreed upon"}
	}
	plain, err := s.compression.Decompress(nil, body, limit)
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		return nil, &base.Error{Outcome: base.Rejected, Code: base.ErrTooLargeCmd, Message: fmt.Sprintf("the body has more than %d bytes once it is decompressed, the server's MaxCmdSize", limit)}
	case err != nil:
		return nil, &base.Error{Outcome: base.Rejected, Code: base.ErrDecode, Message: "the body can't be decompressed: " + err.Error()}
	}
	return plain, nil
}
