package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// cut shows what a lost connection does to the commands that are running.
func (s *show) cut(ctx context.Context) error {
	s.title("The connection is cut while a command runs")
	pay := Pay{First: 6, Count: 99, Amount: 1} // it would take two seconds
	s.forgetChanges()
	seen, err := s.cutDuring(ctx, pay)
	if base.OutcomeOf(err) != base.Unknown || !errors.Is(err, base.ErrConnLost) || seen < 2 {
		return wrong(written(pay)+" and a cut", describe(err), "outcome unknown, code connection_lost")
	}
	s.right(1, written(pay), describe(err))
	s.more(fmt.Sprintf("%d of %d results had come, more may have run: look before you send it again", seen, pay.Count))
	if err := s.back(ctx); err != nil {
		return err
	}
	if err := s.nextAnswer(ctx, 120-pay.Count, 120-seen); err != nil {
		return err
	}
	books, err := s.readBooks(ctx)
	if err != nil {
		return err
	}
	paid := 0
	for id := pay.First; id < pay.First+pay.Count; id++ {
		if books[id] > 1 {
			return wrong(written(Books{}), fmt.Sprintf("payment %d %d times", id, books[id]), "once at most")
		}
		paid += books[id]
	}
	if paid < seen {
		return wrong(written(Books{}), fmt.Sprintf("%d payments", paid), fmt.Sprintf("the %d seen, or more", seen))
	}
	s.right(1, written(Books{}), fmt.Sprintf("%d of the %d payments were made, none twice", paid, pay.Count))
	return s.cutUnderLoad(ctx)
}

// cutDuring cuts the connection when the second result of pay has come.
func (s *show) cutDuring(ctx context.Context, pay Pay) (seen int, err error) {
	for balance, err := range cmdstream.Results(ctx, s.client, pay) {
		if err != nil {
			return seen, err
		}
		seen++
		if want := 120 - seen; balance != want {
			return seen, wrong(written(pay), balance, want)
		}
		if seen == 2 {
			s.cable.cut()
		}
	}
	return seen, errors.New("all results, in spite of the cut")
}

// back waits until the client has a connection again, and prints its states.
func (s *show) back(ctx context.Context) error {
	lost := time.Now()
	late := time.After(timeout)
	for {
		select {
		case change := <-s.changes:
			switch change.State {
			case client.Connecting:
				if change.Attempt == 0 {
					s.more("the client is connecting: " + short(change.Err))
				}
			case client.Connected:
				s.more(fmt.Sprintf("the client is connected again, after %v", time.Since(lost).Round(100*time.Microsecond)))
				return nil
			case client.Closed:
				return fmt.Errorf("the client has ended: %w", change.Err)
			}
		case <-late:
			return fmt.Errorf("the client has not come back within %v", timeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// forgetChanges empties the queue of states.
func (s *show) forgetChanges() {
	for len(s.changes) > 0 {
		<-s.changes
	}
}

// short is an error's innermost text.
func short(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// nextAnswer asks for the balance, which is within limits after a cut.
func (s *show) nextAnswer(ctx context.Context, low, high int) error {
	balance, err := cmdstream.Do(ctx, s.client, Balance{})
	if err != nil {
		return fmt.Errorf("%s after a cut: %w", written(Balance{}), err)
	}
	if balance < low || balance > high {
		return wrong(written(Balance{}), balance, fmt.Sprintf("%d to %d", low, high))
	}
	s.right(1, written(Balance{}), remarked(balance, "the next command is answered"))
	return nil
}

// readBooks returns how often each ID is in the server's books.
func (s *show) readBooks(ctx context.Context) (map[int]int, error) {
	times := make(map[int]int)
	for page, err := range cmdstream.Results(ctx, s.client, Books{}) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", written(Books{}), err)
		}
		for _, id := range page {
			times[id]++
		}
	}
	return times, nil
}

// restart shows that the client finds a server process that takes the place of
// a killed one.
func (s *show) restart(ctx context.Context) error {
	s.cable.plugInto("")
	killed := s.server.pid()
	s.server.kill()
	if err := s.startServer(ctx); err != nil {
		return err
	}
	began := time.Now()
	first := Deposit{ID: 1, Amount: 7}
	balance, err := cmdstream.Do(ctx, s.client, first)
	if err != nil {
		return fmt.Errorf("%s after the server's restart: %w", written(first), err)
	}
	if balance != first.Amount {
		return wrong(written(first), balance, first.Amount)
	}
	s.right(1, fmt.Sprintf("kill -9 %d", killed), fmt.Sprintf("process %d takes over, after %v", s.server.pid(), time.Since(began).Round(time.Millisecond)))
	return nil
}
