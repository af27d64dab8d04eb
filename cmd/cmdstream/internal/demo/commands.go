package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
)

// source is what a user of the library writes, as bank.go has it, and how it is
// called.
var source = []string{
	"type Deposit struct{ ID, Amount int }",
	"func (d Deposit) Run(ctx context.Context, bank *Bank) (int, error)",
	"balance, err := cmdstream.Do(ctx, client, Deposit{ID: 1, Amount: 150})",
	"for balance, err := range cmdstream.Results(ctx, client, Pay{…}) { … }",
}

// commands shows commands that succeed, of one result and of several.
func (s *show) commands(ctx context.Context) error {
	s.title("A command is a Go type with a method; the server runs it")
	for _, line := range source {
		s.screen.Line("    " + terminal.Code(line))
	}
	if err := ask(ctx, s, Deposit{ID: 1, Amount: 150}, 150, "the result of Run"); err != nil {
		return err
	}
	pay := Pay{First: 2, Count: 3, Amount: 10}
	var balances []int
	for balance, err := range cmdstream.Results(ctx, s.client, pay) {
		if err != nil {
			return fmt.Errorf("%s: %w", written(pay), err)
		}
		balances = append(balances, balance)
	}
	want := []int{140, 130, 120}
	if !slices.Equal(balances, want) {
		return wrong(written(pay), balances, want)
	}
	s.right(len(want), written(pay), remarked("140, 130, 120", "one after another"))
	return nil
}

// failures shows commands that fail, and that the connection goes on.
func (s *show) failures(ctx context.Context) error {
	s.title("An error says what has become of the command")
	if err := askFailure(ctx, s, Deposit{ID: 5, Amount: -500}, base.ErrExec, "the balance is only 120"); err != nil {
		return err
	}
	if err := askFailure(ctx, s, Print{}, base.ErrPanic, "out of paper"); err != nil {
		return err
	}
	return ask(ctx, s, Balance{}, 120, "the next command is answered")
}

// askFailure sends a command that must fail with a code, and a message that
// ends in text.
func askFailure[R any, C base.Runner[*Bank, R]](ctx context.Context, s *show, cmd C, code base.Code, text string) error {
	_, err := cmdstream.Do(ctx, s.client, cmd)
	if base.OutcomeOf(err) != base.Failed || !errors.Is(err, code) || !strings.HasSuffix(err.Error(), text) {
		return wrong(written(cmd), describe(err), fmt.Sprintf("%v, code %s: %s", base.Failed, string(code), text))
	}
	s.right(1, written(cmd), describe(err))
	s.more(err.Error())
	return nil
}

// describe tells the outcome and the code of an error.
func describe(err error) string {
	var e *base.Error
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("outcome %v, code %s", e.Outcome, string(e.Code))
}
