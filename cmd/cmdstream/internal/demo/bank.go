package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// Bank is the receiver of the typed commands. Whatever changes its balance has
// an ID and is written into its books: from these it can be told what has run,
// and how often.
type Bank struct {
	fault Fault

	mu      sync.Mutex // protects what follows
	balance int
	books   []int // the IDs, in the order in which they ran
}

func (b *Bank) book(id, amount int) (balance int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.balance+amount < 0 {
		return 0, fmt.Errorf("the balance is only %d", b.balance)
	}
	b.balance += amount
	b.books = append(b.books, id)
	if b.fault == FaultBook && len(b.books) == 100 {
		b.books = append(b.books, id)
	}
	return b.balance, nil
}

// set returns the typed commands, each with its tag on the wire.
func set() *codec.Set[*Bank] {
	s := codec.NewSet[*Bank](json.Format{})
	codec.Unary[Deposit](s, 1)
	codec.Stream[Pay](s, 2)
	codec.Unary[Balance](s, 3)
	codec.Unary[Print](s, 4)
	codec.Stream[Books](s, 5)
	codec.Unary[Caller](s, 6)
	return s
}

// Deposit changes the balance by Amount, and returns it.
type Deposit struct{ ID, Amount int }

// Run deposits.
func (d Deposit) Run(ctx context.Context, bank *Bank) (int, error) {
	return bank.book(d.ID, d.Amount)
}

// Pay makes Count payments of Amount, whose IDs begin with First, and sends the
// balance after each.
type Pay struct{ First, Count, Amount int }

// payPause is the time between two payments.
const payPause = 20 * time.Millisecond

// Stream pays.
func (p Pay) Stream(ctx context.Context, bank *Bank, send func(int) error) error {
	for i := range p.Count {
		balance, err := bank.book(p.First+i, -p.Amount)
		if err != nil {
			return err
		}
		if err := send(balance); err != nil {
			return err
		}
		select {
		case <-time.After(payPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Balance returns the balance.
type Balance struct{}

// Run looks it up.
func (Balance) Run(_ context.Context, bank *Bank) (int, error) {
	bank.mu.Lock()
	defer bank.mu.Unlock()
	if bank.fault == FaultBalance {
		return bank.balance + 1, nil
	}
	return bank.balance, nil
}

// Print panics.
type Print struct{}

// Run panics.
func (Print) Run(context.Context, *Bank) (int, error) { panic("out of paper") }

// Books sends the IDs of all that has run, some at a time.
type Books struct{}

// pageSize is how many IDs are sent at a time.
const pageSize = 1000

// Stream sends them.
func (Books) Stream(_ context.Context, bank *Bank, send func([]int) error) error {
	bank.mu.Lock()
	books := slices.Clone(bank.books)
	bank.mu.Unlock()
	for page := range slices.Chunk(books, pageSize) {
		if err := send(page); err != nil {
			return err
		}
	}
	return nil
}

// Caller returns the name in the certificate of whoever sends it.
type Caller struct{}

// Run looks it up.
func (Caller) Run(ctx context.Context, _ *Bank) (string, error) {
	state := base.TLS(ctx)
	if state == nil || len(state.PeerCertificates) == 0 {
		return "", fmt.Errorf("the caller has shown no certificate")
	}
	return state.PeerCertificates[0].Subject.CommonName, nil
}
