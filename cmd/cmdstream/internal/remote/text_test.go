package remote

import (
	"errors"
	"testing"

	"github.com/cmdstream/cmdstream/base"
)

func TestText(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{&base.Error{Message: "client: the hello", Err: &base.Error{Message: "inner"}}, "the hello: inner"},
		{&base.Error{Remote: true, Message: "two\nlines\x1b[31m \u009bred\u202e"}, "two lines?[31m ?red?"},
	} {
		if got := Text(test.err); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]string{
		"":           "",
		"default":    "default",
		"grün 7":     "grün 7",
		"\x00\xff":   "0x00ff",
		"a\x1b[0m":   "0x611b5b306d",
		" with ends": "0x20776974682065" + "6e6473",
	} {
		if got := Bytes([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
