package otel

import (
	"context"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// maxValue is how many bytes a value may have that a server takes from a client: four
// times what W3C Trace Context asks for. A longer one is as good as none.
const maxValue = 2 << 10

// Inject returns a ctx whose commands carry the trace of ctx, beside the metadata that
// they carry anyway. It is for commands that pass through no [Client], such as those of
// cmdstream.Open. Of opts WithPropagator counts. Where the metadata would be too much with
// it, ctx is returned as it is; on the plain wire a command with metadata fails.
func Inject(ctx context.Context, opts ...Option) context.Context {
	o := newOptions(opts)
	return o.inject(ctx)
}

// inject returns ctx itself where there is nothing to carry, or no room for it.
func (o *options) inject(ctx context.Context) context.Context {
	if _, only := o.propagator.(propagation.TraceContext); only && !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	out := outgoing{own: base.OutgoingMetadata(ctx)}
	o.propagator.Inject(ctx, &out)
	if out.all == nil || sizeOf(out.all) > wire.MaxMetadata {
		return ctx // without its trace the command can go
	}
	return base.WithMetadata(ctx, out.all)
}

// sizeOf is not less than what metadata takes on the wire.
func sizeOf(m base.Metadata) (size int) {
	for key, values := range m {
		for _, value := range values {
			size += 2 + len(key) + 2 + len(value) // each length takes two bytes at most
		}
	}
	return size
}

// outgoing is metadata that is added to, for a propagator.
type outgoing struct {
	own base.Metadata // the caller's, not to be changed
	all base.Metadata // nil: nothing was added
}

func (m *outgoing) Set(key, value string) {
	if len(key) == 0 || len(key) > wire.MaxMetadataKey {
		return // the wire would not carry it
	}
	if m.all == nil {
		if m.all = maps.Clone(m.own); m.all == nil {
			m.all = base.Metadata{}
		}
	}
	m.all[key] = []string{value}
}

func (m *outgoing) Get(key string) string { return m.present().Get(key) }

func (m *outgoing) Keys() []string { return slices.Collect(maps.Keys(m.present())) }

func (m *outgoing) present() base.Metadata {
	if m.all != nil {
		return m.all
	}
	return m.own
}

// extract returns a ctx with what the client has sent.
func (o *options) extract(ctx context.Context) context.Context {
	m := base.MetadataOf(ctx)
	if len(m) == 0 {
		return ctx
	}
	return o.propagator.Extract(ctx, incoming(m))
}

// incoming is a client's metadata, for a propagator. It may hold anything.
type incoming base.Metadata

func (m incoming) Get(key string) string {
	values := m[key]
	if len(values) != 1 || len(values[0]) > maxValue {
		return "" // of several it would not be known which counts
	}
	return values[0]
}

// Set does nothing: a command's metadata is not changed.
func (incoming) Set(string, string) {}

func (m incoming) Keys() []string { return slices.Collect(maps.Keys(m)) }
