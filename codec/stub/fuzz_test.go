package stub_test

import (
	"errors"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec/stub"
)

// Whatever a server says, its failure stays one, and the text is no longer than it was.
func FuzzIncoming(f *testing.F) {
	for _, seed := range [][2]string{
		{"mine.*quotaError{},errGone", "t\n[{\"Limit\":5}]"},
		{"mine.errGone busy", "t"},
		{"mine.textError{},textError{}", "\n[\"a\",\"b\"]"},
		{"mine.oddError{}", "[{}]"},
		{"exec", ""},
		{"mine.", "\n"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, code, message string) {
		came := &base.Error{Outcome: base.Failed, Code: base.Code(code), Message: message, Remote: true, Seq: 1}
		err := stub.Incoming(came, known)
		e, ok := errors.AsType[*base.Error](err)
		if !ok || e.Code != came.Code || e.Seq != 1 || base.OutcomeOf(err) != base.Failed || came.Message != message {
			t.Errorf("it is %#v", err)
		}
		if message != "" && len(err.Error()) > len(message) {
			t.Errorf("the text is %q", err)
		}
	})
}
