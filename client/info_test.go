package client_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// What a client says of itself, and of its connections, is how they are.
func TestConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		c := redial(t, l.Dial, client.Conf{})
		old := <-accepted
		began := time.Now()
		one := start(t.Context(), c, command{N: 1})
		synctest.Wait()
		old.expect(kindCommand)
		got := c.Connections()
		if len(got) != 1 || got[0].InFlight != 1 || got[0].Leaving || got[0].Session != "" || got[0].Received == 0 || !got[0].Since.Equal(began) || got[0].RemoteAddr == nil || got[0].LocalAddr == nil {
			t.Errorf("connected, it has %+v", got)
		}
		if c.State() != client.Connected {
			t.Errorf("connected, it is %v", c.State())
		}

		time.Sleep(time.Second)
		old.goaway("maintenance")
		synctest.Wait()
		if c.State() != client.Connecting {
			t.Errorf("without a connection for new commands it is %v", c.State())
		}
		fresh := accept(t, l)
		synctest.Wait()
		got = c.Connections()
		if len(got) != 2 || !got[0].Leaving || got[0].InFlight != 1 || got[1].Leaving || got[1].InFlight != 0 {
			t.Errorf("after the goaway it has %+v", got)
		}
		old.answer(0, 1)
		<-one
		old.ended()
		synctest.Wait()
		if got = c.Connections(); len(got) != 1 || got[0].Leaving || c.State() != client.Connected {
			t.Errorf("at the other server it is %v and has %+v", c.State(), got)
		}

		fresh.nc.Close()
		synctest.Wait()
		if got = c.Connections(); len(got) != 0 || c.State() != client.Connecting {
			t.Errorf("cut, it is %v and has %+v", c.State(), got)
		}
		c.Close()
		if got = c.Connections(); len(got) != 0 || c.State() != client.Closed {
			t.Errorf("closed, it is %v and has %+v", c.State(), got)
		}
	})
}

// Of a session there is the beginning of its id, which stays when it is resumed.
func TestTheSessionOfAConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, echo, serverConf{})
		var last *memnet.Conn
		l.OnDial(func(near, _ *memnet.Conn) { last = near })
		c := redial(t, l.Dial, client.Conf{Session: true})
		mustDo(t, c, 1)
		before := c.Connections()
		if len(before) != 1 || len(before[0].Session) != 8 {
			t.Fatalf("it has %+v", before)
		}
		last.Cut(memnet.RST)
		mustDo(t, c, 2)
		after := c.Connections()
		if len(after) != 1 || after[0].Session != before[0].Session || after[0].RemoteAddr == nil {
			t.Errorf("it has %+v, and had %+v", after, before)
		}
	})
}

// A client that does not reconnect is never Connecting, not even when its server goes away.
func TestAStateWithoutReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := serveOn(t, memnet.Listen(), echo, serverConf{})
		c := dial(t, l, client.Conf{})
		mustDo(t, c, 1)
		if c.State() != client.Connected {
			t.Errorf("it is %v", c.State())
		}
		s.Shutdown(context.Background())
		synctest.Wait()
		if c.State() != client.Closed {
			t.Errorf("its server has gone, and it is %v", c.State())
		}
	})
}
