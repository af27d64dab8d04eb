package integration_test

import (
	"context"
	"errors"

	"github.com/cmdstream/cmdstream/base"
)

// desk is the receiver. It hears of commands that wait, and of those that were
// given up.
type desk struct {
	waiting chan struct{}
	givenUp chan error
}

func newDesk() *desk { return &desk{make(chan struct{}, 100), make(chan error, 100)} }

// echo returns its text.
type echo struct{ Text string }

func (c echo) Run(context.Context, *desk) (string, error) { return c.Text, nil }

// fail ends in an error.
type fail struct{ Text string }

func (c fail) Run(context.Context, *desk) (string, error) { return "", errors.New(c.Text) }

// wait runs until it is given up.
type wait struct{}

func (wait) Run(ctx context.Context, d *desk) (string, error) {
	d.waiting <- struct{}{}
	<-ctx.Done()
	d.givenUp <- ctx.Err()
	return "", ctx.Err()
}

// who returns the name in the client's certificate.
type who struct{}

func (who) Run(ctx context.Context, _ *desk) (string, error) {
	state := base.TLS(ctx)
	switch {
	case state == nil:
		return "no TLS", nil
	case len(state.PeerCertificates) == 0:
		return "no certificate", nil
	}
	return state.PeerCertificates[0].Subject.CommonName, nil
}

// count sends the numbers up to To.
type count struct{ To int }

func (c count) Stream(_ context.Context, d *desk, send func(int) error) error {
	for n := 1; n <= c.To; n++ {
		if err := send(n); err != nil {
			d.givenUp <- err
			return err
		}
	}
	return nil
}
