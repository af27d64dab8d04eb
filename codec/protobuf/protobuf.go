// Package protobuf is the format of a typed command set whose commands and results are
// generated protobuf messages, by google.golang.org/protobuf. It is a module of its own.
//
// A message has no Run method, so a command is a struct that embeds one:
//
//	type Add struct{ *pb.AddRequest } // as protoc-gen-go makes it, with fields A and B
//
//	func (c Add) Run(ctx context.Context, calc Calc) (*pb.Sum, error) {
//		return &pb.Sum{Value: c.A + c.B}, nil
//	}
//
//	set := codec.NewSet[Calc](protobuf.Format{})
//	codec.Unary[Add](set, 1)
//
//	sum, err := cmdstream.Do(ctx, c, Add{&pb.AddRequest{A: 2, B: 3}}) // a *pb.Sum
//
// Commands, results and inputs may be
//
//   - a pointer to a generated message, such as *pb.Sum. It is a command too, if a further
//     file of its package gives it a Run method;
//   - a struct whose only field is such a pointer, exported or embedded, such as Add;
//   - a pointer to such a struct.
//
// Everything else is refused when it is registered: messages by value, because they must
// not be copied; structs with more than the message, because the rest would be lost; and
// types that are no messages, such as an int, for which there is *wrapperspb.Int64Value.
//
// What protobuf does to values, since commands and results pass through it:
//
//   - A nil message is refused when sent: it could not be told from an empty one, which
//     is what to send instead.
//   - Messages may be changed as protobuf allows, one side first. Fields that the other
//     side doesn't know are kept, and sent on with the message, see Format.DiscardUnknown.
//   - A string that is not UTF-8 is refused, when sent and when received, and so is a
//     message without a field that it requires (proto2).
//   - Two messages behind one another are one, merged, as everywhere in protobuf.
package protobuf

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// DefaultMaxDepth is the MaxDepth of a Format that doesn't set one.
const DefaultMaxDepth = 100

// Format is the format. The zero value works. It may be used by many goroutines at once.
type Format struct {
	// MaxDepth is how many messages deep what is received may be nested, the outermost
	// included. 0, and less, means DefaultMaxDepth.
	MaxDepth int
	// DiscardUnknown drops fields that are received and not known. By default they are kept.
	DiscardUnknown bool
	// Deterministic sends the same bytes for the same message, for one build of the program:
	// it sorts maps. By default the order of their entries is random.
	Deterministic bool
}

// Append appends the message of v to dst. An error says why v has none, or is one of
// package proto, wrapped; dst is returned as it was then.
func (f Format) Append(dst []byte, v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return dst, err
	}
	all, err := proto.MarshalOptions{Deterministic: f.Deterministic}.MarshalAppend(dst, m)
	if err != nil {
		return dst, failed(m, err)
	}
	return all, nil
}

// Unmarshal sets the message of what v points to from data. An error says why v can have
// none, or is one of package proto, wrapped.
func (f Format) Unmarshal(data []byte, v any) error {
	options := proto.UnmarshalOptions{RecursionLimit: f.depth(), DiscardUnknown: f.DiscardUnknown}
	return setMessage(v, func(m proto.Message) error { return options.Unmarshal(data, m) })
}

// ToJSON returns the message of v as protobuf's JSON.
func (f Format) ToJSON(v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return nil, err
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, failed(m, err)
	}
	return text, nil
}

// FromJSON sets the message of what v points to from protobuf's JSON. A field that the
// message doesn't have is refused.
func (f Format) FromJSON(data []byte, v any) error {
	options := protojson.UnmarshalOptions{RecursionLimit: f.depth()}
	return setMessage(v, func(m proto.Message) error { return options.Unmarshal(data, m) })
}

// Check refuses a type that is no message, and says what to use instead.
func (f Format) Check(t reflect.Type) error {
	_, err := shapeOf(t)
	return err
}

// Describe returns the full name of t's message, such as google.protobuf.Timestamp: that
// it is read alike at both sides is what protobuf's own rules of change are for.
func (f Format) Describe(t reflect.Type) string {
	s, err := shapeOf(t)
	if err != nil {
		return t.String()
	}
	return string(s.name)
}

// depth is the limit as package proto takes it.
func (f Format) depth() int {
	if f.MaxDepth <= 0 {
		return DefaultMaxDepth
	}
	return f.MaxDepth
}

func failed(m proto.Message, err error) error {
	return fmt.Errorf("protobuf: %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
}
