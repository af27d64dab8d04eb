package handler

import (
	"errors"
	"fmt"
	"math/bits"

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

// encoded is the body of the result that is encoded.
func (x *command[T]) encoded() (body []byte, compressed bool) {
	if len(x.packed.B) > 0 {
		return x.packed.B, true
	}
	return x.scratch.B, false
}

// decompress returns what the body of a command, or of an input, was before it was
// compressed, and how many bytes of memory it holds. The memory is taken first: as much as
// bodies commonly become, and more where that is not enough. It is a power of two, or the
// limit: a compression may keep something for each size that it was given.
func (s *Session[T]) decompress(body []byte, memory *Memory) (plain []byte, held int, failure *base.Error) {
	limit := s.handler.MaxCmdSize
	if s.compression == nil {
		return nil, 0, &base.Error{Outcome: base.Rejected, Code: base.ErrDecode, Message: "the body is compressed, and no compression was agreed upon"}
	}
	for room := min(max(2<<bits.Len(uint(len(body))), keepBody), limit); ; room = min(4*room, limit) {
		if !memory.take(room) {
			s.handler.Counters.NoMemory.Add(1)
			return nil, 0, noMemory(room)
		}
		plain, held, err := decompressWithin(s.compression, body, room, memory)
		switch tooLarge := errors.Is(err, transport.ErrTooLarge); {
		case err == nil:
			return plain, held, nil
		case !tooLarge:
			return nil, 0, &base.Error{Outcome: base.Rejected, Code: base.ErrDecode, Message: "the body can't be decompressed: " + err.Error()}
		case room == limit:
			return nil, 0, &base.Error{Outcome: base.Rejected, Code: base.ErrTooLargeCmd, Message: fmt.Sprintf("the body has more than %d bytes once it is decompressed, the server's MaxCmdSize", limit)}
		}
	}
}

// decompressWithin decompresses into room bytes, which have been taken. It gives back what
// it does not hold in the end, also where the compression panics.
func decompressWithin(compression transport.Compression, body []byte, room int, memory *Memory) (plain []byte, held int, err error) {
	defer func() { memory.give(room - held) }()
	plain, err = compression.Decompress(nil, body, room)
	if err == nil && len(plain) > keepBody {
		held = len(plain)
	}
	return plain, held, err
}
