package stub_test

import (
	"errors"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec/stub"
)

// ErrNotFound is an error of an implementation.
var ErrNotFound = errors.New("no such user")

func Example() {
	known := func() stub.Errors {
		return stub.Errors{Package: "users", Known: []stub.Known{stub.Value("ErrNotFound", ErrNotFound)}}
	}
	// At the server: the failure that travels has a code of its own.
	err := stub.Outgoing(fmt.Errorf("user 7: %w", ErrNotFound), known)
	fmt.Println(err, errors.Is(err, base.Code("users.ErrNotFound")))

	// At the client, which got it as an error of the library.
	err = stub.Incoming(&base.Error{Outcome: base.Failed, Code: "users.ErrNotFound", Message: "user 7: no such user", Remote: true}, known)
	fmt.Println(err, errors.Is(err, ErrNotFound), base.OutcomeOf(err))
	// Output:
	// user 7: no such user true
	// user 7: no such user true failed
}
