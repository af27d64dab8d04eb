package codec

import (
	"reflect"

	"github.com/cmdstream/cmdstream/codec/reflection"
)

// Format turns the values of commands and results into bytes and back. It is
// used by many goroutines at once.
//
// v is a pointer to the command or the result, so for a command of the type *Add
// it is a **Add. Neither v nor data nor dst may be kept after the call, nor may
// what Unmarshal makes share memory with data: all of them are used again.
type Format interface {
	// Append appends the bytes of *v to dst and returns the whole.
	Append(dst []byte, v any) ([]byte, error)
	// Unmarshal sets *v, which is zero before, from data. It is to refuse data
	// that holds more than the value.
	Unmarshal(data []byte, v any) error
}

// Checker is what a [Format] may be besides. A set then asks it about the type
// of each command and each result that is registered, and panics with its error:
// a type that the format can't carry whole is better found at the start of a
// program than by the data that it lost.
type Checker interface {
	Check(t reflect.Type) error
}

// Describer is what a [Format] may be besides, so that client and server find out whether
// they read a type alike: they do if their descriptions are the same. Without it a type is
// described by its fields in Go.
type Describer interface {
	Describe(t reflect.Type) string
}

// JSON is what a [Format] may be besides: it reads and writes the same values as JSON,
// for tools that speak to any server (see [Set.Reflect]). Without it encoding/json does, and
// a command that was read passes through the format once, with its limits.
type JSON interface {
	ToJSON(v any) ([]byte, error)
	FromJSON(data []byte, v any) error
}

// Typed is what a [Format] that is [JSON] may be besides, if its JSON is not that of the Go
// type: it describes what FromJSON takes and ToJSON returns. Without it that is told by
// [reflection.TypeOf].
type Typed interface {
	JSONType(t reflect.Type) *reflection.Type
}
