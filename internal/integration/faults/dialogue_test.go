package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// The dialogue is what a client says to a server in these tests: a bit of each thing
// that there is. Its parts run one after another, or some at once, and each knows
// what must come of it.

// bodySize makes a command, or a result, go in two chunks.
const bodySize = 66_000

// dialogue does the whole, and returns what went wrong.
type dialogue struct {
	client  *client.Client[*effects]
	effects *effects
	lossy   bool // there is no session: a command may end with its connection

	mu     sync.Mutex // protects what follows
	faults []string
	ran    []int // the commands that must have run, once
	never  []int // those that must not
}

func (d *dialogue) wrong(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, fmt.Sprintf(format, args...))
}

func (d *dialogue) mustRun(number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ran = append(d.ran, number)
}

// lost tells whether err is the loss of a connection, which is no fault of a command
// without a session, if the outcome is true. One that never left goes out again by itself.
func (d *dialogue) lost(number int, err error) bool {
	if !d.lossy || err == nil || !errors.Is(err, base.ErrConnLost) {
		return false
	}
	d.mu.Lock()
	d.ran = slices.DeleteFunc(d.ran, func(n int) bool { return n == number })
	d.mu.Unlock()
	if base.OutcomeOf(err) != base.Unknown {
		d.mustNotRun(number)
	}
	return true
}

func (d *dialogue) mustNotRun(number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.never = append(d.never, number)
}

func (d *dialogue) run() {
	d.echo(1)
	d.echo(2) // on the slot of the first
	d.together(
		func() { d.large(3) },
		func() { d.echo(4) },
		func() { d.largeResult(5) },
		func() { d.stream(6, 150) },
	)
	d.together(
		func() { d.sent(7, 9) },
		func() { d.inputs(8, 20) },
		func() { d.canceled(9) },
		func() { d.shed(10) },
		func() { d.failed(11, fail, base.ErrExec) },
		func() { d.failed(12, explode, base.ErrPanic) },
	)
	d.echo(13)
}

// judge compares the receiver's effects with what the callers were told.
func (d *dialogue) judge() []string {
	d.effects.mu.Lock()
	defer d.effects.mu.Unlock()
	for _, number := range d.ran {
		if n := d.effects.starts[number]; n != 1 {
			d.faults = append(d.faults, fmt.Sprintf("command %d ran %d times", number, n))
		}
	}
	for _, number := range d.never {
		if n := d.effects.starts[number]; n != 0 {
			d.faults = append(d.faults, fmt.Sprintf("command %d, which was rejected, ran %d times", number, n))
		}
	}
	for number, n := range d.effects.starts {
		if n > 1 {
			d.faults = append(d.faults, fmt.Sprintf("command %d ran %d times", number, n))
		}
	}
	return d.faults
}

func (d *dialogue) together(parts ...func()) {
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(part)
	}
	wg.Wait()
}

func (d *dialogue) do(cmd command) (result, error) {
	r, err := d.client.Do(context.Background(), cmd)
	if err != nil {
		return result{}, err
	}
	return r.(result), nil
}

func (d *dialogue) echo(number int) {
	d.mustRun(number)
	if r, err := d.do(command{Op: echo, Number: number}); !d.lost(number, err) && (err != nil || r.N != number) {
		d.wrong("echo %d: %v, %v", number, r.N, err)
	}
}

func (d *dialogue) large(number int) {
	d.mustRun(number)
	body := pattern(bodySize)
	if r, err := d.do(command{Op: echo, Number: number, Body: body}); !d.lost(number, err) && (err != nil || r.N != number || !bytes.Equal(r.Body, body)) {
		d.wrong("large command %d: %v, %d bytes, %v", number, r.N, len(r.Body), err)
	}
}

func (d *dialogue) largeResult(number int) {
	d.mustRun(number)
	if r, err := d.do(command{Op: grow, Number: number, N: bodySize}); !d.lost(number, err) && (err != nil || r.N != number || !bytes.Equal(r.Body, pattern(bodySize))) {
		d.wrong("large result %d: %v, %d bytes, %v", number, r.N, len(r.Body), err)
	}
}

// stream takes so many results that credit must be given back.
func (d *dialogue) stream(number, n int) {
	d.mustRun(number)
	next := 1
	for r, err := range d.client.Results(context.Background(), command{Op: count, Number: number, N: n}) {
		if d.lost(number, err) {
			return
		}
		if err != nil || r.(result).N != next {
			d.wrong("stream %d: %v, %v, want %d", number, r, err, next)
			return
		}
		next++
	}
	if next != n+1 {
		d.wrong("stream %d ended before result %d", number, next)
	}
}

// sent takes a stream out of a channel that is soon full.
func (d *dialogue) sent(number, n int) {
	d.mustRun(number)
	results := make(chan base.AsyncResult, 2)
	seq, err := d.client.Send(command{Op: count, Number: number, N: n}, results)
	if d.lost(number, err) {
		return
	}
	if err != nil {
		d.wrong("Send %d: %v", number, err)
		return
	}
	for next := range n {
		time.Sleep(time.Millisecond)
		r := <-results
		if d.lost(number, r.Err) {
			return
		}
		if r.Err != nil || r.Seq != seq || r.Result.(result).N != next+1 {
			d.wrong("Send %d: %+v, want %d", number, r, next+1)
			return
		}
	}
}

// inputs sends more of them than the first window has.
func (d *dialogue) inputs(number, n int) {
	d.mustRun(number)
	call, err := d.client.Open(context.Background(), command{Op: sum, Number: number})
	if d.lost(number, err) {
		return
	}
	if err != nil {
		d.wrong("Open %d: %v", number, err)
		return
	}
	defer call.Close()
	go func() {
		for i := range n {
			if err := call.Send(i + 1); err != nil {
				if d.lossy {
					return // Receive tells
				}
				d.wrong("input %d of %d: %v", i+1, number, err)
				return
			}
		}
		if err := call.CloseSend(); err != nil && !d.lossy {
			d.wrong("CloseSend of %d: %v", number, err)
		}
	}()
	total := 0
	for i := range n + 1 {
		if i < n {
			total += i + 1
		}
		r, err := call.Receive()
		if d.lost(number, err) {
			return
		}
		if err != nil || r.(result).N != total || r.LastOne() != (i == n) {
			d.wrong("result %d of %d: %+v, %v, want %d", i+1, number, r, err, total)
			return
		}
	}
	if _, err := call.Receive(); err != io.EOF {
		d.wrong("after the last result of %d: %v", number, err)
	}
	d.effects.mu.Lock()
	defer d.effects.mu.Unlock()
	if got := d.effects.inputs[number]; len(got) != n || !slices.IsSorted(got) {
		d.wrong("the inputs of %d are %v", number, got)
	}
}

// canceled gives up a command that would run for ever.
func (d *dialogue) canceled(number int) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := d.client.Do(ctx, command{Op: block, Number: number})
	if d.lost(number, err) {
		return
	}
	if !errors.Is(err, base.ErrDeadline) {
		d.wrong("canceled %d: %v", number, err)
	}
	switch base.OutcomeOf(err) {
	case base.NotSent, base.Rejected:
		d.mustNotRun(number)
	case base.Unknown:
	default:
		d.wrong("canceled %d: %v", number, err)
	}
}

func (d *dialogue) shed(number int) {
	d.mustNotRun(number)
	_, err := d.do(command{Op: shed, Number: number})
	if d.lost(number, err) {
		return
	}
	if base.OutcomeOf(err) != base.Rejected || !errors.Is(err, base.ErrBusy) {
		d.wrong("shed %d: %v", number, err)
	}
}

func (d *dialogue) failed(number int, o op, code base.Code) {
	d.mustRun(number)
	_, err := d.do(command{Op: o, Number: number})
	if d.lost(number, err) {
		return
	}
	if base.OutcomeOf(err) != base.Failed || !errors.Is(err, code) {
		d.wrong("failed %d: %v", number, err)
	}
}
