package mus

import (
	"fmt"
	"io"
	"reflect"

	"github.com/mus-format/mus-stream-go/ord"
	"github.com/mus-format/mus-stream-go/varint"
)

// String and Bytes are ord.String and ord.ByteSlice of mus-stream-go, but for a Skip that
// does not go byte by byte: for fields that may be long.
var (
	String Serializer[string] = text[string]{ord.String}
	Bytes  Serializer[[]byte] = text[[]byte]{ord.ByteSlice}
)

type text[T any] struct{ Serializer[T] }

// Skip skips the length and so many bytes.
func (text[T]) Skip(r Reader) (n int, err error) {
	length, n, err := readLength(r)
	if err != nil {
		return n, err
	}
	if d, ok := r.(interface{ Discard(n int) (int, error) }); ok {
		skipped, err := d.Discard(length)
		return n + skipped, err
	}
	skipped, err := io.CopyN(io.Discard, r, int64(length))
	return n + int(skipped), err
}

func readLength(r Reader) (length, n int, err error) {
	length, n, err = varint.PositiveInt.Unmarshal(r)
	if err == nil && length < 0 {
		err = fmt.Errorf("a length is %d", length)
	}
	return length, n, err
}

// NewArraySer returns a serializer of the array T, whose elements are of type V. It has
// the bytes of ord.NewArraySer of mus-stream-go, and refuses any length but T's. It panics
// if T is no array of V.
func NewArraySer[T, V any](elements Serializer[V]) Serializer[T] {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Array || t.Elem() != reflect.TypeFor[V]() {
		panic(fmt.Sprintf("mus: %s is no array of %s", t, reflect.TypeFor[V]()))
	}
	return arraySer[T, V]{ord.NewArraySer[T](elements), elements, t.Len()}
}

type arraySer[T, V any] struct {
	Serializer[T]
	elements Serializer[V]
	length   int
}

func (arraySer[T, V]) arraysTrusted() {}

// Unmarshal reads the length and so many elements.
func (s arraySer[T, V]) Unmarshal(r Reader) (array T, n int, err error) {
	n, err = s.readLength(r)
	if err != nil {
		return array, n, err
	}
	all := reflect.ValueOf(&array).Elem().Slice(0, s.length).Interface().([]V)
	for i := range all {
		element, more, err := s.elements.Unmarshal(r)
		n += more
		if err != nil {
			return array, n, err
		}
		all[i] = element
	}
	return array, n, nil
}

// Skip skips the length and so many elements.
func (s arraySer[T, V]) Skip(r Reader) (n int, err error) {
	n, err = s.readLength(r)
	for range s.length {
		if err != nil {
			return n, err
		}
		var more int
		more, err = s.elements.Skip(r)
		n += more
	}
	return n, err
}

func (s arraySer[T, V]) readLength(r Reader) (n int, err error) {
	length, n, err := readLength(r)
	if err == nil && length != s.length {
		err = fmt.Errorf("an array has %d elements, and %d were sent", s.length, length)
	}
	return n, err
}

// TrustArrays returns ser, and says that it does not read the arrays of its type by
// ord.NewArraySer of mus-stream-go, which returns memory that is not its own where the
// length that was sent is too small.
func TrustArrays[T any](ser Serializer[T]) Serializer[T] { return trusted[T]{ser} }

type trusted[T any] struct{ Serializer[T] }

func (trusted[T]) arraysTrusted() {}
