// Package formattest checks that a codec.Format keeps its contract.
//
//	formattest.Run(t, formattest.Suite{Format: json.Format{}, Values: []any{&point{1, 2}}})
package formattest

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/cmdstream/cmdstream/codec"
)

// Suite is what a format is checked with.
type Suite struct {
	Format codec.Format
	// Values are pointers to values that the format carries whole: as many kinds as it
	// knows. None of them is changed.
	Values []any
	// Equal tells whether two such pointers stand for the same value; nil:
	// reflect.DeepEqual.
	Equal func(a, b any) bool
	// Foreign are pointers to values that the format can't carry.
	Foreign []any
	// Deep is the encoding of something nested so deep that the format must refuse it,
	// for a value of the type that Into points to; nil: nothing nests.
	Deep []byte
	Into any
	// Mergeable tells that the value may be followed by more: such as in protobuf, where
	// two messages behind one another are one.
	Mergeable bool
}

// Run runs all checks, each as a subtest.
func Run(t *testing.T, s Suite) {
	for _, check := range checks {
		t.Run(check.name, func(t *testing.T) { check.run(s, t) })
	}
}

var checks = []struct {
	name string
	run  func(Suite, reporter)
}{
	{"values travel", Suite.travel},
	{"dst is kept", Suite.keepsDst},
	{"memory is not shared", Suite.sharesNothing},
	{"what follows is refused", Suite.refusesMore},
	{"what is cut or changed does no harm", Suite.survives},
	{"foreign types are refused", Suite.refusesForeign},
	{"depth is limited", Suite.limitsDepth},
	{"many goroutines", Suite.concurrent},
}

// reporter is what the checks need of a testing.T.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// encode returns the bytes of a value.
func (s Suite) encode(t reporter, v any) []byte {
	t.Helper()
	data, err := s.Format.Append(nil, v)
	if err != nil {
		t.Fatalf("%T: %v", v, err)
	}
	return data
}

func (s Suite) equal(a, b any) bool {
	if s.Equal == nil {
		return reflect.DeepEqual(a, b)
	}
	return s.Equal(a, b)
}

// fresh returns a pointer to a zero value of v's type.
func fresh(v any) any { return reflect.New(reflect.TypeOf(v).Elem()).Interface() }

func (s Suite) travel(t reporter) {
	for _, v := range s.Values {
		got := fresh(v)
		if err := s.Format.Unmarshal(s.encode(t, v), got); err != nil {
			t.Errorf("%T: %v", v, err)
		} else if !s.equal(got, v) {
			t.Errorf("%T: got %+v, want %+v", v, reflect.ValueOf(got).Elem(), reflect.ValueOf(v).Elem())
		}
	}
}

func (s Suite) keepsDst(t reporter) {
	for _, v := range s.Values {
		want := s.encode(t, v)
		for _, room := range []int{0, 3, len(want), len(want) + 100} {
			dst := append(make([]byte, 0, 6+room), "before"...)
			got, err := s.Format.Append(dst, v)
			if err != nil || len(got) != 6+len(want) || !bytes.HasPrefix(got, []byte("before")) {
				t.Errorf("%T: %d bytes, %v", v, len(got), err)
				continue
			}
			back := fresh(v) // a map may come in another order
			if err := s.Format.Unmarshal(got[6:], back); err != nil || !s.equal(back, v) {
				t.Errorf("%T behind other bytes: %v", v, err)
			}
		}
	}
	for _, v := range s.Foreign {
		if got, err := s.Format.Append([]byte("before"), v); err == nil || string(got) != "before" {
			t.Errorf("%T: with the error %v it returned %q", v, err, got)
		}
	}
}

func (s Suite) sharesNothing(t reporter) {
	for _, v := range s.Values {
		data := s.encode(t, v)
		got := fresh(v)
		if err := s.Format.Unmarshal(data, got); err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		for i := range data {
			data[i] ^= 0xff
		}
		if !s.equal(got, v) {
			t.Errorf("%T: the value has changed with the bytes that it was decoded from", v)
		}
	}
}

func (s Suite) refusesMore(t reporter) {
	if s.Mergeable {
		return
	}
	for _, v := range s.Values {
		data := s.encode(t, v)
		for _, more := range []string{"x", "\x00"} {
			if err := s.Format.Unmarshal(append(slices.Clone(data), more...), fresh(v)); err == nil {
				t.Errorf("%T: %x was taken behind the value", v, more)
			}
		}
	}
}

// memoryPerByte is how much memory a format may take for a byte that it receives, beside a
// fixed amount. An empty element of an array is a byte or two, and may be a large struct.
const memoryPerByte = 4 << 10

// survives checks that no bytes make the format panic, or take much memory.
func (s Suite) survives(t reporter) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, v := range s.Values {
		data := s.encode(t, v)
		var inputs [][]byte
		for n := range min(len(data), 300) {
			inputs = append(inputs, data[:n])
			changed := slices.Clone(data)
			changed[n] = byte(random.Uint32())
			inputs = append(inputs, changed)
		}
		for range 200 {
			noise := make([]byte, random.IntN(60))
			for i := range noise {
				noise[i] = byte(random.Uint32())
			}
			inputs = append(inputs, noise)
		}
		for _, input := range inputs {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s.Format.Unmarshal(input, fresh(v)) // it may be a value, too
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20+memoryPerByte*uint64(len(input)) {
				t.Errorf("%T: %d bytes were allocated for %d that came: %x", v, n, len(input), input)
			}
		}
	}
}

func (s Suite) refusesForeign(t reporter) {
	for _, v := range s.Foreign {
		if _, err := s.Format.Append(nil, v); err == nil {
			t.Errorf("%T was taken", v)
		}
	}
}

func (s Suite) limitsDepth(t reporter) {
	if s.Deep == nil {
		return
	}
	if err := s.Format.Unmarshal(s.Deep, fresh(s.Into)); err == nil {
		t.Errorf("%d bytes that nest deep were taken", len(s.Deep))
	}
}

func (s Suite) concurrent(t reporter) {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for _, v := range s.Values {
				for range 20 {
					data, err := s.Format.Append(nil, v)
					got := fresh(v)
					if err == nil {
						err = s.Format.Unmarshal(data, got)
					}
					if err != nil || !s.equal(got, v) {
						t.Errorf("%T: %v", v, err)
						return
					}
				}
			}
		})
	}
	group.Wait()
}
