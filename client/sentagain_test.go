package client_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// An idempotent command that was open at a server which is gone may have run there.
// Whatever becomes of it when it is sent again, its caller is not told that it has not.
func TestACommandThatIsSentAgainMayHaveRun(t *testing.T) {
	calls := map[string]func(ctx context.Context, c *client.Client[receiver]) error{
		"Do": func(ctx context.Context, c *client.Client[receiver]) error {
			_, err := c.Do(ctx, harmless{command{N: 1}})
			return err
		},
		"Results": func(ctx context.Context, c *client.Client[receiver]) (err error) {
			for _, err = range c.Results(ctx, harmless{command{N: 1}}) {
			}
			return err
		},
		"Send": func(ctx context.Context, c *client.Client[receiver]) error {
			results := make(chan base.AsyncResult, 1)
			if _, err := c.Send(harmless{command{N: 1}}, results); err != nil {
				return err
			}
			return (<-results).Err
		},
	}
	const patience = 10 * time.Second
	ends := map[string]struct {
		code base.Code
		end  func(t *testing.T, l *memnet.Listener, session wire.Session)
	}{
		"no server comes": {base.ErrDeadline, func(t *testing.T, l *memnet.Listener, session wire.Session) {
			p := acceptRaw(t, l)
			p.hello(wire.ServerHello{Status: wire.StatusSessionLost})
			p.nc.Close()
			l.Close()
		}},
		"the next one refuses it": {base.ErrBusy, func(t *testing.T, l *memnet.Listener, session wire.Session) {
			p, _ := lose(t, l, session)
			f := p.expect(kindCommand)
			p.fail(f.Slot, wire.Failure{Outcome: uint8(base.Rejected), Code: string(base.ErrBusy)})
		}},
	}
	for how, call := range calls {
		for what, test := range ends {
			t.Run(how+", "+what, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					c, p, l, session := openSession(t, client.Conf{SendTimeout: patience})
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					ended := make(chan error, 1)
					go func() { ended <- call(ctx, c) }()
					p.expect(kindCommand)
					synctest.Wait()
					p.nc.Cut(memnet.FIN)
					test.end(t, l, session)
					err := <-ended
					want(t, err, base.Unknown, test.code)
					if id := idOf(err); id.Session != session.ID || id.Seq != 1 {
						t.Errorf("the ID is %v", id)
					}
				})
			})
		}
	}
}
