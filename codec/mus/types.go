package mus

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"

	"github.com/mus-format/mus-stream-go/ord"
	"github.com/mus-format/mus-stream-go/raw"
	"github.com/mus-format/mus-stream-go/varint"

	"github.com/cmdstream/cmdstream/transport"
)

// Type is a type with its serializer, made by [For].
type Type struct {
	goType reflect.Type
	nests  bool   // how deep is up to the data
	by     string // names the serializer, see writtenBy

	// These get a *T.
	marshal   func(v any, w Writer) error
	unmarshal func(r Reader, v any) error
	skip      func(r Reader) error
}

// For tells of the serializer of a type. It panics without one, for one of package pm,
// and for a type that the package's documentation says is refused.
func For[T any](ser Serializer[T]) Type {
	t := reflect.TypeFor[T]()
	nests, err := look(t, ser)
	if err != nil {
		panic(err.Error())
	}
	return Type{
		goType: t, nests: nests, by: writtenBy(reflect.ValueOf(ser)),
		marshal: func(v any, w Writer) error {
			_, err := ser.Marshal(*v.(*T), w)
			return err
		},
		unmarshal: func(r Reader, v any) error {
			value, _, err := ser.Unmarshal(r)
			if err == nil {
				*v.(*T) = value
			}
			return err
		},
		skip: func(r Reader) error {
			_, err := ser.Skip(r)
			return err
		},
	}
}

// basic are the types that every format knows.
var basic = byType(
	For[bool](ord.Bool), For[string](String), For[[]byte](Bytes),
	For[int](varint.Int), For[int8](varint.Int8), For[int16](varint.Int16), For[int32](varint.Int32), For[int64](varint.Int64),
	For[uint](varint.Uint), For[uint8](varint.Uint8), For[uint16](varint.Uint16), For[uint32](varint.Uint32), For[uint64](varint.Uint64),
	For[float32](raw.Float32), For[float64](raw.Float64),
)

func byType(types ...Type) map[reflect.Type]*Type {
	all := make(map[reflect.Type]*Type)
	for _, t := range types {
		if all[t.goType] != nil {
			panic(fmt.Sprintf("mus: %s has two serializers", t.goType))
		}
		all[t.goType] = &t
	}
	return all
}

var writers = sync.Pool{New: func() any { return new(transport.Buffer) }}

func (t *Type) appendTo(dst []byte, v any) ([]byte, error) {
	w := writers.Get().(*transport.Buffer)
	w.B = dst
	err := t.marshal(v, w)
	all := w.B
	w.B = nil
	writers.Put(w)
	if err != nil {
		return dst, t.failed(err)
	}
	return all, nil
}

// decode reads the value from r into *v: twice, the first time only to see that all of it
// is there.
func (t *Type) decode(r *reader, v any, maxDepth int) error {
	if t.nests {
		r.watch(maxDepth)
	}
	start := r.at
	err := t.skip(r)
	switch {
	case r.tooDeep:
		return t.failed(errTooDeep)
	case err != nil:
		return t.failed(err)
	case r.at < len(r.data):
		return t.failed(fmt.Errorf("%d bytes follow the value, as Skip of its serializer reads it", len(r.data)-r.at))
	}
	r.rewind(start)
	if err := t.unmarshal(r, v); err != nil {
		return t.failed(err)
	}
	if r.at < len(r.data) {
		return t.failed(errors.New("its serializer's Skip does not read what its Unmarshal does"))
	}
	return nil
}

// failed returns an error with the type.
func (t *Type) failed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the data ends within the value: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("mus: %s: %w", t.goType, err)
}
