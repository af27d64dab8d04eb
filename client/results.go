package client

import (
	"context"
	"iter"

	"github.com/cmdstream/cmdstream/base"
)

// window is how many results of Results may be on their way.
const window = 64

// Results sends cmd when the loop over it begins, and yields its results as they
// come; an error is the last pair. Leaving the loop early cancels the command.
// While the loop's body is slow the server waits, by flow control, once 64
// results are on their way. ctx and Conf.Timeout bound the whole loop. Each loop
// over the same iterator sends the command anew.
func (c *Client[T]) Results(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
	return func(yield func(base.Result, error) bool) {
		k := call[T]{cmd: cmd, owner: waiting, credit: window, deadline: c.deadline()}
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
			s.leave()
		}
	}()
	for {
		var ended bool
		var failure *base.Error
		if mine, ended, failure = s.wait(ctx); !mine {
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

// taken counts a result that the owner has taken, and gives credit back when half of
// the window was.
func (s *slot[T]) taken(seq base.Seq) {
	if s.credit++; s.credit >= window/2 {
		s.giveCredit(seq, s.credit)
		s.credit = 0
	}
}
