package client

import (
	"errors"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// compress compresses body into dst, where the link has a compression and body is
// worth it. dst stays empty if it is not.
func (l *link[T]) compress(dst *transport.Buffer, body []byte) (err error) {
	dst.Reset()
	if l.compression == nil || len(body) <= l.client.conf.CompressAbove {
		return nil
	}
	compressed, err := l.compression.Compress(dst.B, body)
	if err != nil {
		return &base.Error{Outcome: base.NotSent, Code: base.ErrEncode, Message: "the command can't be compressed", Err: err}
	}
	if len(compressed) < len(body) {
		dst.B = compressed
	}
	return nil
}

// decompress returns what the body of a result was before it was compressed. A panic of
// the compression is an error.
func (l *link[T]) decompress(body []byte) (plain []byte, failure *base.Error) {
	defer func() {
		if v := recover(); v != nil {
			plain, failure = nil, &base.Error{Outcome: base.Failed, Code: base.ErrPanic, Message: fmt.Sprintf("the compression panicked: %v", v)}
		}
	}()
	limit := l.client.conf.MaxResultSize
	if l.compression == nil {
		return nil, &base.Error{Outcome: base.Failed, Code: base.ErrDecode, Message: "its result is compressed, and no compression was agreed upon"}
	}
	plain, err := l.compression.Decompress(nil, body, limit)
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		return nil, &base.Error{Outcome: base.Failed, Code: base.ErrTooLargeResult, Message: fmt.Sprintf("a result has more than %d bytes once it is decompressed, the client's MaxResultSize", limit)}
	case err != nil:
		return nil, &base.Error{Outcome: base.Failed, Code: base.ErrDecode, Message: "its result can't be decompressed", Err: err}
	}
	return plain, nil
}
