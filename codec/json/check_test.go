package json_test

import (
	stdjson "encoding/json"
	"math/big"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/cmdstream/cmdstream/codec/json"
)

// pair looks after itself, by its pointer.
type pair struct{ a, b int }

func (p *pair) MarshalText() ([]byte, error) { return []byte{byte(p.a), byte(p.b)}, nil }

func (p *pair) UnmarshalText(text []byte) error {
	p.a, p.b = int(text[0]), int(text[1])
	return nil
}

// oneWay can only be sent.
type oneWay struct{ a int }

func (o oneWay) MarshalJSON() ([]byte, error) { return []byte{byte('0' + o.a)}, nil }

// key is a map key as text.
type key struct{ a int }

func (k key) MarshalText() ([]byte, error)     { return []byte{byte('0' + k.a)}, nil }
func (k *key) UnmarshalText(text []byte) error { k.a = int(text[0] - '0'); return nil }

type (
	hidden     struct{ Seen int }
	hiddenDeep struct{ unseen int }
	hiddenInt  int
	Exported   struct{ ID int }
	Itself     struct {
		*Itself
		ID int
	}
	// list and tree contain themselves.
	list struct {
		Value int
		Next  *list
	}
	tree struct {
		Children map[string][]tree
		Data     *hiddenDeep
	}
)

// Nothing reads the field: that is what it is there for.
var _ = hiddenDeep{}.unseen

func typeOf[V any]() reflect.Type { return reflect.TypeFor[V]() }

func TestCheckTakes(t *testing.T) {
	for _, taken := range []reflect.Type{
		typeOf[int](), typeOf[string](), typeOf[[]byte](), typeOf[any](), typeOf[*float64](), typeOf[[3]bool](),
		typeOf[time.Time](), typeOf[*big.Int](), typeOf[netip.Addr](), typeOf[map[netip.Addr]time.Time](),
		typeOf[map[int8]string](), typeOf[map[uintptr]any](), typeOf[map[key]int](),
		typeOf[pair](), typeOf[*pair](), typeOf[[]pair](), typeOf[[2]pair](), typeOf[map[string]*pair](),
		typeOf[list](), typeOf[Itself](), typeOf[struct{}](),
		typeOf[struct{ hidden }](), typeOf[struct{ *Exported }](),
		typeOf[struct {
			_       [0]func()
			mutex   sync.Mutex `json:"-"`
			Channel chan int   `json:"-"`
			A       int        `json:"B,omitempty"`
			B       int        `json:"A"`
		}](),
	} {
		if err := (json.Format{}).Check(taken); err != nil {
			t.Errorf("%v: %v", taken, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	const lost = " is not exported and would be lost: export it, tag it `json:\"-\"`, or let its struct marshal and unmarshal itself"
	for want, refused := range map[string]reflect.Type{
		"json_test.hiddenDeep.unseen" + lost:                                                                          typeOf[hiddenDeep](),
		"*json_test.tree.Data.unseen" + lost:                                                                          typeOf[*tree](),
		"[]json_test.hiddenDeep[].unseen" + lost:                                                                      typeOf[[]hiddenDeep](),
		"[2]json_test.hiddenDeep[].unseen" + lost:                                                                     typeOf[[2]hiddenDeep](),
		"map[string]json_test.hiddenDeep[].unseen" + lost:                                                             typeOf[map[string]hiddenDeep](),
		"struct { json_test.hiddenDeep }.hiddenDeep.unseen" + lost:                                                    typeOf[struct{ hiddenDeep }](),
		"struct { *json_test.hidden }.hidden" + lost:                                                                  typeOf[struct{ *hidden }](),
		"struct { json_test.hiddenInt }.hiddenInt" + lost:                                                             typeOf[struct{ hiddenInt }](),
		"json_test.oneWay.a" + lost:                                                                                   typeOf[oneWay](),
		"struct { at time.Time }.at" + lost:                                                                           typeOf[struct{ at time.Time }](),
		"map[string]json_test.pair[].a" + lost:                                                                        typeOf[map[string]pair](), // not addressable there
		"chan int is a chan int, which JSON can't carry":                                                              typeOf[chan int](),
		"struct { F func() }.F is a func(), which JSON can't carry":                                                   typeOf[struct{ F func() }](),
		"[]complex64[] is a complex64, which JSON can't carry":                                                        typeOf[[]complex64](),
		"complex128 is a complex128, which JSON can't carry":                                                          typeOf[complex128](),
		"unsafe.Pointer is a unsafe.Pointer, which JSON can't carry":                                                  typeOf[unsafe.Pointer](),
		"error is the interface error, which can't be decoded: nothing says into what type":                           typeOf[error](),
		"the keys of map[float64]int are of the type float64: a string, an integer or a text is needed":               typeOf[map[float64]int](),
		"the keys of map[json_test.pair]int are of the type json_test.pair: a string, an integer or a text is needed": typeOf[map[pair]int](),
		`struct { json_test.Exported; ID string }.Exported.ID and struct { json_test.Exported; ID string }.ID have the same name "ID", so one would be lost`: typeOf[struct {
			Exported
			ID string
		}](),
	} {
		err := json.Format{}.Check(refused)
		if err == nil || err.Error() != "json: "+want {
			t.Errorf("%v:\ngot  %v\nwant json: %s", refused, err, want)
		}
	}
}

// The tag "-," names a field "-", and skips none.
func TestCheckTakesADashForAName(t *testing.T) {
	err := json.Format{}.Check(reflect.StructOf([]reflect.StructField{
		{Name: "C", Type: typeOf[chan int](), Tag: `json:"-,"`},
	}))
	if err == nil {
		t.Error("the channel was not seen")
	}
}

// A json.Number is a string in Go, and none in JSON.
func TestDescribeTellsNumbersFromStrings(t *testing.T) {
	f := json.Format{}
	if a, b := f.Describe(reflect.TypeFor[stdjson.Number]()), f.Describe(reflect.TypeFor[string]()); a == b {
		t.Errorf("both are %s", a)
	}
}
