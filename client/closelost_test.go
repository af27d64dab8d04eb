package client_test

import (
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// A session would have outlived its connection: it is Close that ends its commands.
func TestCloseOfASessionThatHasJustLostItsConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		done := start(t.Context(), c, command{N: 1})
		p.expect(kindCommand)
		synctest.Wait()
		p.nc.Cut(memnet.RST)
		c.Close() // before the client has noticed
		want(t, (<-done).err, base.Unknown, base.ErrClosed)
	})
}
