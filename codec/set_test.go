package codec_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// checkingFormat refuses one type.
type checkingFormat struct {
	json.Format
	refused reflect.Type
}

func (f checkingFormat) Check(t reflect.Type) error {
	if t == f.refused {
		return errors.New("it can't be carried")
	}
	return nil
}

// unchecked is a format that is no Checker.
type unchecked struct{ codec.Format }

func panicText(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() {
		r := recover()
		if r == nil {
			t.Fatal("no panic")
		}
		text = fmt.Sprint(r)
	}()
	f()
	return ""
}

func TestSetRefuses(t *testing.T) {
	tests := []struct {
		name  string
		build func()
		want  string
	}{
		{
			"no format",
			func() { codec.NewSet[calc](nil) },
			"codec: NewSet needs a format, such as json.Format{}, and got nil",
		},
		{
			"the tag 0",
			func() { codec.Unary[add](codec.NewSet[calc](json.Format{}), 0) },
			"codec: codec_test.add has the tag 0, which is reserved: tags begin with 1",
		},
		{
			"two commands on one tag",
			func() { set := jsonSet(); codec.Stream[tick](set, 1) },
			"codec: codec_test.add and codec_test.tick have the same tag 1",
		},
		{
			"one command twice on its tag",
			func() { set := jsonSet(); codec.Unary[add](set, 1) },
			"codec: codec_test.add and codec_test.add have the same tag 1",
		},
		{
			"one command on two tags",
			func() { set := jsonSet(); codec.Unary[add](set, 11) },
			"codec: codec_test.add has two tags, 1 and 11",
		},
		{
			"a command after Client",
			func() { set := jsonSet(); set.Client(); codec.Stream[tick](set, 11) },
			"codec: codec_test.tick (tag 11) comes too late: the set is in use, Client or Server was called",
		},
		{
			"a command after Server",
			func() { set := jsonSet(); set.Server(); codec.Stream[tick](set, 11) },
			"codec: codec_test.tick (tag 11) comes too late: the set is in use, Client or Server was called",
		},
		{
			"a limit of 0",
			func() { jsonSet().Limit(0) },
			"codec: a limit of 0 bytes allows nothing",
		},
		{
			"a limit after Client",
			func() { set := jsonSet(); set.Client(); set.Limit(1) },
			"codec: the limit comes too late: the set is in use, Client or Server was called",
		},
		{
			"a command that the format can't carry",
			func() { newSet(checkingFormat{refused: reflect.TypeFor[sub]()}) },
			"codec: the command codec_test.sub (tag 2): it can't be carried",
		},
		{
			"a result that the format can't carry",
			func() { newSet(checkingFormat{refused: reflect.TypeFor[point]()}) },
			"codec: the result of codec_test.move (tag 3): it can't be carried",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := panicText(t, test.build); got != test.want {
				t.Errorf("the panic says\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestJSONRefusesFieldsThatItWouldLose(t *testing.T) {
	got := panicText(t, func() { codec.Stream[tick](codec.NewSet[calc](json.Format{}), 1) })
	if want := "the command codec_test.tick (tag 1): json: codec_test.tick.every is not exported"; !strings.Contains(got, want) {
		t.Errorf("the panic says\n%s\nwhich does not contain\n%s", got, want)
	}
	// A format without an opinion takes all.
	codec.Stream[tick](codec.NewSet[calc](unchecked{json.Format{}}), 1)
}

func TestSetIsUsableAfterARefusal(t *testing.T) {
	set := jsonSet()
	panicText(t, func() { codec.Unary[add](set, 11) })
	panicText(t, func() { set.Limit(-1) })
	roundTrip(t, set, set, unary(add{1, 2}))
}
