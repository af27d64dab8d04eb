package codec

import (
	"errors"
	"io"
)

var (
	errOverlong = errors.New("the number has more bytes than it needs")
	errOverflow = errors.New("the number does not fit into 64 bits")
)

// readUvarint reads a number, and nothing behind it. Other than
// binary.ReadUvarint it takes each number in its shortest form only, so that a
// value has one encoding.
func readUvarint(r io.ByteReader) (uint64, error) {
	var n uint64
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, short(err)
		}
		if shift == 63 && b > 1 {
			return 0, errOverflow
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if b == 0 && shift > 0 {
				return 0, errOverlong
			}
			return n, nil
		}
	}
}

// short makes an end in the middle of something recognizable as one.
func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
