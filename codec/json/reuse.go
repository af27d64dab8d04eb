package json

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
)

// encoding/json makes its state anew for each value, which is most of the garbage of a
// command. So encoders and decoders are used again, as long as they have not failed.
var (
	encoders = sync.Pool{New: func() any { return newEncoder() }}
	decoders = sync.Pool{New: func() any { return newDecoder() }}
)

// encoder appends to dst.
type encoder struct {
	json *json.Encoder
	dst  []byte
}

func newEncoder() *encoder {
	e := new(encoder)
	e.json = json.NewEncoder(e)
	e.json.SetEscapeHTML(false) // nobody embeds these bytes in a web page, and a "<" costs six otherwise
	return e
}

func (e *encoder) Write(p []byte) (int, error) {
	e.dst = append(e.dst, p...)
	return len(p), nil
}

// decoder reads src.
type decoder struct {
	json *json.Decoder
	src  []byte
}

// maxReused is for how many bytes, at most, a decoder is used again: it keeps a buffer that
// held them.
const maxReused = 4 << 10

func newDecoder() *decoder {
	d := new(decoder)
	d.json = json.NewDecoder(d)
	return d
}

func (d *decoder) Read(p []byte) (int, error) {
	if len(d.src) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.src)
	d.src = d.src[n:]
	return n, nil
}

// decodeAgain sets what v points to from data by a decoder that is used again. whole tells
// whether data was one value and nothing else; else the error is worth nothing.
func decodeAgain(data []byte, v any) (whole bool, err error) {
	d := decoders.Get().(*decoder)
	begin := d.json.InputOffset()
	d.src = data
	err = d.json.Decode(v)
	d.src = nil
	read := d.json.InputOffset() - begin
	rest := data[read:]
	if err == nil && len(rest) == 0 { // else the decoder has failed, or has more in its buffer
		decoders.Put(d)
	}
	return read > 0 && len(bytes.Trim(rest, " \t\r\n")) == 0, err
}
