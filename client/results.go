package client

import (
	"context"
	"iter"

	"github.com/cmdstream/cmdstream/base"
)

// window is how many results of Results may be on their way at first. While they are so
// small that twice as many have no more than windowBytes, their number is doubled, up to
// maxWindow; where they become larger, it goes down again.
const (
	window      = 64
	maxWindow   = 1024
	windowBytes = 64 << 10
)

// Results sends cmd when the loop over it begins, and yields its results as they
// come; an error is the last pair. Leaving the loop early cancels the command.
// While the loop's body is slow the server waits, by flow control, once 64
// results are on their way, or up to 1024 of 64 KiB in all. ctx and Conf.Timeout bound
// the whole loop. Each loop over the same iterator sends the command anew.
func (c *Client[T]) Results(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
	return func(yield func(base.Result, error) bool) {
		k := call[T]{cmd: cmd, owner: waiting, credit: window}
		k.begin(&c.clock, c.conf.Timeout)
		for {
			s, seq, err := c.send(ctx, &k)
			if err != nil {
				yield(nil, k.ends(err))
				return
			}
			l := s.link
			yielded, err := s.each(ctx, seq, yield)
			if err == nil {
				return
			}
			if yielded || !c.again(l, &k, err) {
				yield(nil, k.ends(err))
				return
			}
		}
	}
}

// each yields the command's results, and leaves the slot, also if yield panics.
// The error is how the command ended, if not by its last result or by yield.
func (s *slot[T]) each(ctx context.Context, seq base.Seq, yield func(base.Result, error) bool) (yielded bool, err error) {
	mine := true
	defer func() {
		if mine {
			s.leave(false)
		}
	}()
	for {
		var ended bool
		var failure *base.Error
		if mine, ended, failure = s.wait(ctx, false); !mine {
			return yielded, failure
		}
		for {
			result, last, err, ok := s.pop()
			if !ok {
				break
			}
			if err != nil {
				return yielded, err
			}
			yielded = true
			s.handedOver()
			if !yield(result, nil) || last {
				return yielded, nil
			}
			s.taken(seq)
		}
		if ended {
			return yielded, failure
		}
	}
}

// taken counts a result that the owner has taken, and gives credit back when half of the
// window was, or when 32 were and the owner has to wait for more: so whoever waits for credit
// wakes up seldom, and who sends a result now and then hears of a client that lives.
func (s *slot[T]) taken(seq base.Seq) {
	s.credit++
	s.bytes += s.size
	half := s.credit >= s.window/2
	if !half && (s.credit < window/2 || s.next < len(s.out.items)) {
		return
	}
	more, size := 0, s.bytes/s.credit
	switch {
	case half && 2*s.window <= maxWindow && size*2*s.window <= windowBytes:
		more = s.window
	case s.window > window && size*s.window > windowBytes:
		more = -min(s.credit, s.window/2)
	}
	s.giveCredit(seq, s.credit+more)
	s.window += more
	s.credit, s.bytes = 0, 0
}
