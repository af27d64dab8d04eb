package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
)

const (
	depositors = 32
	cuts       = 8
	cutPause   = 40 * time.Millisecond
	// firstLoadID is above all IDs that the demo gives out one by one.
	firstLoadID = 1000
)

// tally is what one of the depositors was told.
type tally struct {
	succeeded, unknown, notRun []int // IDs
	balances                   []int
	err                        error // what no depositor should hear
}

// cutUnderLoad cuts the connection again and again while many callers deposit,
// and holds what they were told against the server's books.
func (s *show) cutUnderLoad(ctx context.Context) error {
	tallies := s.deposit(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	books, err := s.readBooks(ctx)
	if err != nil {
		return err
	}
	var all tally
	for _, t := range tallies {
		if t.err != nil {
			return t.err
		}
		all.succeeded = append(all.succeeded, t.succeeded...)
		all.unknown = append(all.unknown, t.unknown...)
		all.notRun = append(all.notRun, t.notRun...)
		all.balances = append(all.balances, t.balances...)
	}
	ranAfterAll, err := all.check(books)
	if err != nil {
		return err
	}
	s.right(len(all.succeeded), fmt.Sprintf("%d callers deposit, %d cuts", depositors, cuts),
		fmt.Sprintf("%s succeeded, %s unknown, %s not sent",
			terminal.Number(len(all.succeeded)), terminal.Number(len(all.unknown)), terminal.Number(len(all.notRun))))
	s.right(1, written(Books{}), fmt.Sprintf("%d of the %d unknown ran; none ran twice", ranAfterAll, len(all.unknown)))
	return nil
}

// deposit has the callers deposit 1 each, as often as they can, until all the
// cuts were made.
func (s *show) deposit(ctx context.Context) []tally {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tallies := make([]tally, depositors)
	enough := make(chan struct{})
	var working sync.WaitGroup
	for i := range tallies {
		working.Go(func() {
			for id := firstLoadID + i; tallies[i].err == nil; id += depositors {
				select {
				case <-enough:
					return
				default:
				}
				balance, err := cmdstream.Do(ctx, s.client, Deposit{ID: id, Amount: 1})
				tallies[i].note(id, balance, err)
			}
		})
	}
	for range cuts {
		select {
		case <-time.After(cutPause):
			s.cable.cut()
		case <-ctx.Done():
		}
	}
	close(enough)
	working.Wait()
	return tallies
}

func (t *tally) note(id, balance int, err error) {
	switch base.OutcomeOf(err) {
	case base.Succeeded:
		t.succeeded = append(t.succeeded, id)
		t.balances = append(t.balances, balance)
	case base.Unknown:
		t.unknown = append(t.unknown, id)
	case base.NotSent, base.Rejected:
		t.notRun = append(t.notRun, id)
	default:
		t.err = fmt.Errorf("%s under load: %w", written(Deposit{ID: id, Amount: 1}), err)
	}
}

// check holds what the callers were told against the books. It returns how many
// of the unknown ones have run.
func (t *tally) check(books map[int]int) (ranAfterAll int, err error) {
	for id, times := range books {
		if times > 1 {
			return 0, wrong(written(Books{}), fmt.Sprintf("command %d %d times", id, times), "once")
		}
	}
	for _, id := range t.succeeded {
		if books[id] != 1 {
			return 0, wrong(written(Books{}), fmt.Sprintf("no command %d, which succeeded,", id), "once")
		}
	}
	for _, id := range t.notRun {
		if books[id] != 0 {
			return 0, wrong(written(Books{}), fmt.Sprintf("command %d, which was not sent,", id), "nothing of it")
		}
	}
	for _, id := range t.unknown {
		ranAfterAll += books[id]
	}
	// Each deposit is of 1, so no two can have made the same balance.
	balances := make(map[int]bool)
	for _, balance := range t.balances {
		if balances[balance] {
			return 0, wrong("two deposits", balance, "a balance each")
		}
		balances[balance] = true
	}
	return ranAfterAll, nil
}
