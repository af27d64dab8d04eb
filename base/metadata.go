package base

import "context"

// Metadata goes with a command, beside its body: pairs of a key and a value, a key
// as often as it likes. Keys have 1 to 255 bytes; all together takes 8 KiB at most.
type Metadata map[string][]string

// Get returns the first value of key, or "".
func (m Metadata) Get(key string) string {
	if values := m[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

type (
	outgoingKey struct{}
	incomingKey struct{}
)

// WithMetadata returns a ctx whose commands carry m. It replaces what ctx had. m
// must not be changed afterwards.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, outgoingKey{}, m)
}

// OutgoingMetadata returns what [WithMetadata] put into ctx; nil: nothing.
func OutgoingMetadata(ctx context.Context) Metadata {
	m, _ := ctx.Value(outgoingKey{}).(Metadata)
	return m
}

// MetadataOf returns the metadata of the command whose Exec was called with ctx; nil: it
// carries none, or the command has returned. It does not go out again with the commands
// that Exec sends itself. It must not be changed.
func MetadataOf(ctx context.Context) Metadata {
	m, _ := ctx.Value(incomingKey{}).(Metadata)
	return m
}

// MetadataKey is the key under which a command's ctx holds its Metadata. Package
// handler makes such a ctx.
func MetadataKey() any { return incomingKey{} }
