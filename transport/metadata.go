package transport

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// AppendMetadata appends m as a Message carries it, the keys in order.
func AppendMetadata(dst []byte, m base.Metadata) ([]byte, error) {
	before := len(dst)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if len(key) == 0 || len(key) > wire.MaxMetadataKey {
			return dst, fmt.Errorf("transport: a key of the metadata has %d bytes, 1 to %d are allowed", len(key), wire.MaxMetadataKey)
		}
		for _, value := range m[key] {
			dst = wire.AppendPair(dst, key, value)
		}
	}
	if size := len(dst) - before; size > wire.MaxMetadata {
		return dst, fmt.Errorf("transport: the metadata has %d bytes, the limit is %d", size, wire.MaxMetadata)
	}
	return dst, nil
}

// ParseMetadata returns the pairs in b, which is a Message's.
func ParseMetadata(b []byte) (base.Metadata, error) {
	m := base.Metadata{}
	for len(b) > 0 {
		key, value, rest, err := wire.CutPair(b)
		if err != nil {
			return nil, err
		}
		m[string(key)] = append(m[string(key)], string(value))
		b = rest
	}
	return m, nil
}
