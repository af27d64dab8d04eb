package base_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// Hello is a command in the plain form: it sends its results by itself.
type Hello struct{ Name string }

// Greeting is its result.
type Greeting string

// LastOne is true: there is one result.
func (Greeting) LastOne() bool { return true }

// Exec greets.
func (c Hello) Exec(_ context.Context, _ time.Time, seq base.Seq, hello string, proxy base.Proxy) error {
	return proxy.Send(seq, Greeting(hello+", "+c.Name))
}

func ExampleCmd() {
	var cmd base.Cmd[string] = Hello{"world"}
	var proxy recordingProxy
	err := cmd.Exec(context.Background(), time.Now(), 1, "Hello", &proxy)
	fmt.Println(proxy.sent, err)
	// Output:
	// [Hello, world] <nil>
}

func ExampleOutcomeOf() {
	// What a client returned, with something of the caller's around it.
	err := fmt.Errorf("moving the money: %w", &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Seq: 12})

	fmt.Println(err)
	fmt.Println(errors.Is(err, base.ErrBusy))
	switch base.OutcomeOf(err) {
	case base.Succeeded:
		fmt.Println("done")
	case base.NotSent, base.Rejected:
		fmt.Println("it has not run: send it again")
	case base.Failed:
		fmt.Println("it ran, and failed")
	default:
		fmt.Println("it may have run: look before sending it again")
	}
	// Output:
	// moving the money: cmdstream: command seq 12: busy (outcome: rejected)
	// true
	// it has not run: send it again
}
