package codec

import (
	"reflect"
	"sync"

	"github.com/cmdstream/cmdstream/codec/json"
)

// values moves values of type V through the format. The pool lends the
// variables that the format gets a pointer to, which would else be one
// allocation each.
type values[V any] struct {
	format   Format
	nillable bool
	pool     sync.Pool // of *V, zero
}

// valuesOf returns the set's values of type V; the set's lock is held.
func valuesOf[V, T any](set *Set[T]) *values[V] {
	t := reflect.TypeFor[V]()
	if known, ok := set.values[t]; ok {
		return known.(*values[V])
	}
	v := &values[V]{
		format:   set.format,
		nillable: t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface,
	}
	set.values[t] = v
	return v
}

// isNil tells whether v is nothing that a method could be called on.
func (p *values[V]) isNil(v V) bool {
	if !p.nillable {
		return false
	}
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}

func (p *values[V]) appendTo(dst []byte, v V) ([]byte, error) {
	lent := p.get()
	*lent = v
	dst, err := p.format.Append(dst, lent)
	p.put(lent)
	return dst, err
}

func (p *values[V]) decode(data []byte) (V, error) {
	lent := p.get()
	err := p.format.Unmarshal(data, lent)
	v := *lent
	p.put(lent)
	return v, err
}

// toJSON and fromJSON move values as JSON, which is for tools: time is no matter.
func (p *values[V]) toJSON(v V) ([]byte, error) {
	if f, ok := p.format.(JSON); ok {
		return f.ToJSON(&v)
	}
	return json.Format{}.ToJSON(&v)
}

func (p *values[V]) fromJSON(data []byte) (v V, err error) {
	if f, ok := p.format.(JSON); ok {
		err = f.FromJSON(data, &v)
		return v, err
	}
	var read V
	if err := (json.Format{}).FromJSON(data, &read); err != nil {
		return v, err
	}
	// By way of the format: what it does not carry, or allow, does not come by JSON either.
	carried, err := p.appendTo(nil, read)
	if err != nil {
		return v, err
	}
	return p.decode(carried)
}

func (p *values[V]) get() *V {
	if lent, ok := p.pool.Get().(*V); ok {
		return lent
	}
	return new(V)
}

// put takes lent back. A format that panicked keeps its own: it may hold
// anything.
func (p *values[V]) put(lent *V) {
	var zero V
	*lent = zero
	p.pool.Put(lent)
}
