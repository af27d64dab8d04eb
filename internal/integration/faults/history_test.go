package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// registerInput is an operation on a register.
type registerInput struct {
	op       op
	old, new int
}

// registerOutput is what is known of it. Of one whose outcome is unknown, nothing is.
type registerOutput struct {
	known bool
	value int  // what was read
	ok    bool // the value was swapped
}

// register is what histories are held against: one value, 0 at first.
var register = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		value, in, out := state.(int), input.(registerInput), output.(registerOutput)
		switch in.op {
		case read:
			return !out.known || out.value == value, value
		case write:
			return true, in.new
		default: // swap
			swapped := value == in.old
			if out.known && out.ok != swapped {
				return false, value
			}
			if swapped {
				value = in.new
			}
			return true, value
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v %+v", input, output) },
}

// history has several clients work on one register under faults, and returns what
// they did and saw. A stale register answers reads with an old value now and then.
func history(t *testing.T, seed uint64, stale bool, event func(format string, args ...any)) (operations []porcupine.Operation) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, server.Conf[*effects]{}, event)
		defer w.close()
		w.effects.stale = stale
		stop := make(chan struct{})
		var adversary, work sync.WaitGroup
		adversary.Go(func() { w.adversary(rand.New(rand.NewPCG(seed, 1)), false, stop) })
		var mu sync.Mutex
		begin := time.Now()
		for id := range 4 {
			r := rand.New(rand.NewPCG(seed, uint64(id)+2))
			c := w.client(client.Conf{
				Session: seed%2 == 0, Logger: quiet, SysDataReceiveTimeout: time.Second,
				KeepaliveTime: 50 * time.Millisecond, KeepaliveIntvl: 50 * time.Millisecond,
			})
			work.Go(func() {
				for range 25 {
					in := registerInput{[]op{read, write, swap}[r.IntN(3)], r.IntN(5), r.IntN(5)}
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+r.IntN(200))*time.Millisecond)
					call := time.Since(begin)
					got, err := c.Do(ctx, command{Op: in.op, N: in.new, Number: in.old})
					o := porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Return: int64(time.Since(begin))}
					cancel()
					switch base.OutcomeOf(err) {
					case base.Succeeded:
						o.Output = registerOutput{known: true, value: got.(result).N, ok: len(got.(result).Body) > 0}
					case base.Unknown:
						// It may take effect at any time, or never: as a read, of which nothing is known.
						o.Output, o.Return = registerOutput{}, int64(time.Hour)
					default:
						if !errors.Is(err, base.ErrDeadline) && base.OutcomeOf(err) == base.Failed {
							t.Errorf("%+v: %v", in, err)
						}
						continue // it has not run
					}
					mu.Lock()
					operations = append(operations, o)
					mu.Unlock()
					time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
				}
			})
		}
		work.Wait()
		close(stop)
		adversary.Wait()
	})
	return operations
}

// TestHistories holds what clients see of a register against what a register does: all
// that they were told can have happened in one order, which agrees with time.
//
// SEED, RERUN and SEEDS are as for TestChaos.
func TestHistories(t *testing.T) {
	if seed := number("SEED", 0); seed > 0 {
		for range number("RERUN", 1) {
			judgeHistory(t, seed)
		}
		return
	}
	first := uint64(time.Now().UnixNano()) >> 16
	for i := range number("SEEDS", 20) {
		seed := first + i
		if i < 6 {
			seed = i + 1
		}
		if !judgeHistory(t, seed) {
			rerun(t, seed, func() bool {
				operations := history(t, seed, false, func(string, ...any) {})
				return porcupine.CheckOperationsTimeout(register, operations, time.Minute) != porcupine.Ok
			})
			return
		}
	}
}

// judgeHistory makes the history of a seed. One that can't be, is told with what happened.
func judgeHistory(t *testing.T, seed uint64) bool {
	t.Helper()
	var mu sync.Mutex
	var trace []string
	operations := history(t, seed, false, func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		trace = append(trace, time.Now().Format("05.000000 ")+fmt.Sprintf(format, args...)) // of the bubble's time
	})
	result := porcupine.CheckOperationsTimeout(register, operations, time.Minute)
	if result == porcupine.Ok {
		return true
	}
	for _, o := range operations {
		trace = append(trace, fmt.Sprintf("client %d, %v to %v: %+v gave %+v", o.ClientId, time.Duration(o.Call), time.Duration(o.Return), o.Input, o.Output))
	}
	t.Errorf("seed %d: %d operations: %v\n%s", seed, len(operations), result, strings.Join(trace, "\n"))
	return false
}

// TestABrokenRegisterIsFound shows that the check can fail.
func TestABrokenRegisterIsFound(t *testing.T) {
	for seed := range uint64(20) {
		if porcupine.CheckOperationsTimeout(register, history(t, seed, true, func(string, ...any) {}), time.Minute) == porcupine.Illegal {
			return
		}
	}
	t.Error("reads of old values were not found")
}
