// Package json is the format of a typed command set that uses encoding/json.
//
//	set := codec.NewSet[Calc](json.Format{})
//	codec.Unary[Add](set, 1)
//
// What JSON does to values, since commands and results pass through it:
//
//   - Integers keep all their bits in fields of an integer type. In an any every
//     number becomes a float64, and loses what is beyond 53 bits.
//   - NaN and the infinities are refused when sent.
//   - A time keeps its nanoseconds and its offset from UTC, and loses the name of
//     its zone and its monotonic reading: compare with Equal.
//   - Nil pointers, slices and maps stay nil; empty ones stay empty.
//   - A []byte is sent in base64. A string that is not UTF-8 has its wrong bytes
//     replaced by U+FFFD: use []byte for what is not text.
//   - A field that the other side doesn't know is ignored, and one that was not
//     sent is zero. A set refuses commands whose fields differ between client and
//     server all the same; where fields may be added on one side first, use
//     codec.Set.IgnoreFields. See Format.DisallowUnknownFields.
//   - Field names are matched without regard to case where no field matches
//     exactly.
package json

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// DefaultMaxDepth is the MaxDepth of a Format that doesn't set one.
const DefaultMaxDepth = 100

// Format is the format. The zero value works. It may be used by many goroutines
// at once.
type Format struct {
	// MaxDepth is how deep arrays and objects may be nested in what is received.
	// 0 means DefaultMaxDepth; encoding/json itself ends at 10000.
	MaxDepth int
	// DisallowUnknownFields refuses what is received with a field that the type
	// doesn't have. By default such a field is ignored.
	DisallowUnknownFields bool
}

// Append appends v as JSON to dst, with no newline behind it. With an error,
// which is one of encoding/json, it returns dst as it was.
func (f Format) Append(dst []byte, v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	e.dst = dst
	if err := e.json.Encode(v); err != nil {
		return dst, err
	}
	dst, e.dst = bytes.TrimSuffix(e.dst, []byte{'\n'}), nil
	encoders.Put(e)
	return dst, nil
}

// Unmarshal sets what v points to from data, which must be one JSON value and
// nothing else but white space. An error is one of encoding/json, or says that
// data is nested too deeply or that something follows the value; what v points to may
// have changed then.
func (f Format) Unmarshal(data []byte, v any) error {
	limit := f.MaxDepth
	if limit <= 0 {
		limit = DefaultMaxDepth
	}
	if deeper(data, limit) {
		return fmt.Errorf("json: arrays and objects are nested deeper than %d", limit)
	}
	if !f.DisallowUnknownFields {
		if len(data) <= maxReused {
			if whole, err := decodeAgain(data, v); whole {
				return err
			}
		}
		return json.Unmarshal(data, v) // which tells what is wrong, and does nothing else then
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("json: something follows the value")
	}
	return nil
}

// ToJSON returns v as JSON.
func (f Format) ToJSON(v any) ([]byte, error) { return f.Append(nil, v) }

// FromJSON is Unmarshal, but a field that the type doesn't have is refused.
func (f Format) FromJSON(data []byte, v any) error {
	f.DisallowUnknownFields = true
	return f.Unmarshal(data, v)
}
