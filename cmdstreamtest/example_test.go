package cmdstreamtest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
)

// In a test of your own, t is what the test function gets.
func ExampleNew() {
	test := func(t testing.TB) {
		c := cmdstreamtest.New(t, set.Client(), set.Server(), newCalc())
		sum, err := cmdstream.Do(t.Context(), c, Add{2, 3})
		fmt.Println(sum, err)
	}
	runTest(test)
	// Output: 5 <nil>
}

// The client comes back when its connection was cut.
func ExampleNewReconnect() {
	test := func(t testing.TB) {
		n := cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), newCalc())
		n.Cut()
		sum, err := cmdstream.Do(t.Context(), n.Client, Add{2, 3})
		fmt.Println(sum, err)
	}
	runTest(test)
	// Output: 5 <nil>
}

// runTest runs a test as go test does.
func runTest(test func(t testing.TB)) {
	for _, failure := range run(context.Background(), test) {
		fmt.Println(failure)
	}
}
