package policy_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/policy"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// Retries around a circuit breaker. The server here refuses the first command as busy.
func Example() {
	retries := retrypolicy.NewBuilder[base.Result]().WithMaxRetries(3).WithBackoff(time.Millisecond, time.Second)
	breaker := circuitbreaker.NewBuilder[any]().WithFailureThresholdRatio(5, 10).WithDelay(time.Second).Build()
	s := attempts(step{err: busy}, succeed)

	c := cmdstream.Use[int](script, policy.Retry[int](retries), policy.Breaker[int](breaker))
	result, err := c.Do(context.Background(), command{steps: s})
	fmt.Println(result, err, "after", s.count(), "attempts; the breaker is", breaker.State())
	// Output: 1 <nil> after 2 attempts; the breaker is closed
}

// What a policy refuses is told from what a server refuses by the policy's own error.
func ExampleBreaker() {
	breaker := circuitbreaker.NewBuilder[any]().Build()
	breaker.Open()

	c := cmdstream.Use[int](script, policy.Breaker[int](breaker))
	_, err := c.Do(context.Background(), command{steps: attempts(succeed)})
	fmt.Println(base.OutcomeOf(err), errors.Is(err, base.ErrBusy), errors.Is(err, circuitbreaker.ErrOpen))
	// Output: not sent true true
}
