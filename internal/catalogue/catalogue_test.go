package catalogue

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

var list = []Entry{
	{1, [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, "main.Add"},
	{300, [8]byte{9}, "x.Größe[int]"},
	{301, [8]byte{}, ""},
}

func TestAListTravels(t *testing.T) {
	got, ask, err := Parse(Append(nil, list))
	if ask || err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("%v, %v, %v", got, ask, err)
	}
	if got, ask, err := Parse(Append(nil, nil)); got == nil || len(got) != 0 || ask || err != nil {
		t.Errorf("an empty list: %v, %v, %v", got, ask, err)
	}
	if got, ask, err := Parse(Asked); got != nil || !ask || err != nil {
		t.Errorf("asked: %v, %v, %v", got, ask, err)
	}
}

// TestOtherForms: of a server that says nothing, or what a later version says.
func TestOtherForms(t *testing.T) {
	for _, b := range [][]byte{nil, {}, {0}, {3}, {0xff, 1, 2}} {
		if got, ask, err := Parse(b); got != nil || ask || err != nil {
			t.Errorf("% x: %v, %v, %v", b, got, ask, err)
		}
	}
}

func TestABrokenListIsRefused(t *testing.T) {
	whole := Append(nil, list[:1])
	for n := 2; n < len(whole); n++ {
		if got, _, err := Parse(whole[:n]); err == nil {
			t.Errorf("the first %d bytes were taken: %v", n, got)
		}
	}
	for name, b := range map[string][]byte{
		"a long name":    Append(nil, []Entry{{Tag: 1, Name: strings.Repeat("x", MaxName+1)}}),
		"a wrong name":   Append(nil, []Entry{{Tag: 1, Name: "\xff"}}),
		"many":           Append(nil, make([]Entry, MaxCommands+1)),
		"a number so":    append([]byte{here}, bytes.Repeat([]byte{0xff}, 12)...),
		"a length alone": append([]byte{here, 1}, append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff, 0x7f)...),
	} {
		if got, _, err := Parse(b); err == nil {
			t.Errorf("%s was taken: %d commands", name, len(got))
		}
	}
	if got, _, err := Parse(Append(nil, make([]Entry, MaxCommands))); err != nil || len(got) != MaxCommands {
		t.Errorf("%d commands: %v", len(got), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Append(nil, list))
	f.Add(Asked)
	f.Add([]byte{here, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, ask, err := Parse(b)
		if err != nil || ask || entries == nil {
			return
		}
		if again, _, err := Parse(Append(nil, entries)); err != nil || !reflect.DeepEqual(again, entries) {
			t.Errorf("%v became %v, %v", entries, again, err)
		}
	})
}
