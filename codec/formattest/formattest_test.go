package formattest

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

type note struct {
	Text  string
	Bytes []byte
	Notes []note
}

func suite() Suite {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	return Suite{
		Format: json.Format{}, Values: []any{new(7), &note{"text", []byte{1, 2}, []note{{}}}, &note{}, new(*note)},
		Foreign: []any{new(make(chan int)), new(func() {})}, Deep: []byte(deep), Into: new(any),
	}
}

func TestRun(t *testing.T) {
	Run(t, suite())
	// A format whose values may be followed by more, which does not nest, and whose values
	// are compared in a way of their own.
	s := suite()
	s.Mergeable, s.Deep = true, nil
	s.Equal = func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) || reflect.DeepEqual(a, b) }
	Run(t, s)
}

// What a format can't encode, it is told by the first check that tries.
func TestAValueThatCantBeEncoded(t *testing.T) {
	for _, check := range checks[:4] {
		s := suite()
		s.Values = s.Foreign
		if len(said(check.run, s)) == 0 {
			t.Errorf("%s: nothing was said", check.name)
		}
	}
}

// recorder notes what a check says.
type recorder struct {
	mu   sync.Mutex
	said []string
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// said is what a check says of a suite.
func said(check func(Suite, reporter), s Suite) []string {
	r := new(recorder)
	done := make(chan struct{})
	go func() { // which Fatalf ends
		defer close(done)
		check(s, r)
	}()
	<-done
	return r.said
}

// broken is JSON with faults.
type broken struct {
	json.Format
	append    func(dst []byte, v any) ([]byte, error)
	unmarshal func(data []byte, v any) error
}

func (b broken) Append(dst []byte, v any) ([]byte, error) {
	if b.append == nil {
		return b.Format.Append(dst, v)
	}
	return b.append(dst, v)
}

func (b broken) Unmarshal(data []byte, v any) error {
	if b.unmarshal == nil {
		return b.Format.Unmarshal(data, v)
	}
	return b.unmarshal(data, v)
}

// sink keeps memory from being taken on the stack.
var sink []byte

// Each check finds the fault that it is there for.
func TestFaultsAreFound(t *testing.T) {
	var plain json.Format
	for name, format := range map[string]broken{
		"values travel": {unmarshal: func(data []byte, v any) error {
			if n, ok := v.(*note); ok && len(data) > 40 {
				*n = note{Text: "another"}
				return nil
			}
			return plain.Unmarshal(data, v)
		}},
		"dst is kept": {append: func(dst []byte, v any) ([]byte, error) { return plain.Append(nil, v) }},
		"memory is not shared": {unmarshal: func(data []byte, v any) error {
			err := plain.Unmarshal(data, v)
			if n, ok := v.(*note); ok && err == nil && n.Bytes != nil {
				at := bytes.IndexByte(data, 'A')
				n.Bytes = data[at : at+2 : at+2]
				copy(n.Bytes, []byte{1, 2})
			}
			return err
		}},
		"what follows is refused": {unmarshal: func(data []byte, v any) error {
			return plain.Unmarshal(bytes.TrimRight(data, "\x00"), v)
		}},
		"what is cut or changed does no harm": {unmarshal: func(data []byte, v any) error {
			if len(data) == 3 {
				sink = make([]byte, 10<<20)
			}
			return plain.Unmarshal(data, v)
		}},
		"foreign types are refused": {append: func(dst []byte, v any) ([]byte, error) {
			if _, ok := v.(*chan int); ok {
				return append(dst, "null"...), nil
			}
			return plain.Append(dst, v)
		}},
		"depth is limited": {Format: json.Format{MaxDepth: 1000}},
	} {
		for _, check := range checks {
			if check.name != name {
				continue
			}
			s := suite()
			s.Format = format
			if len(said(check.run, s)) == 0 {
				t.Errorf("%s: the fault was not found", name)
			}
		}
	}
}
