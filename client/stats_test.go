package client_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// with returns a client of a codec, whose server echoes.
func with(t *testing.T, c codec) *client.Client[receiver] {
	conn, err := serve(t, echo, serverConf{}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return over(t, conn, c, client.Conf{})
}

// TestStats has one thing after another happen to a client: it counts, and nothing else does.
func TestStats(t *testing.T) {
	for name, test := range map[string]struct {
		happen func(t *testing.T) *client.Client[receiver]
		want   client.Stats
	}{
		"nothing": {func(t *testing.T) *client.Client[receiver] {
			c := both(t, nil, echo, client.Conf{})
			mustDo(t, c, 1)
			c.Close()
			return c
		}, client.Stats{}},
		"a command is open": {func(t *testing.T) *client.Client[receiver] {
			c, p := newPeer(t, client.Conf{})
			start(t.Context(), c, command{})
			p.expect(kindCommand)
			return c
		}, client.Stats{InFlight: 1}},
		"the server breaks a rule": {func(t *testing.T) *client.Client[receiver] {
			c, p := newPeer(t, client.Conf{})
			p.write([]byte{0xa0, 0, 0})
			<-c.Done()
			return c
		}, client.Stats{LostConnections: 1, Breaches: 1}},
		"the server falls silent": {func(t *testing.T) *client.Client[receiver] {
			c, _ := newPeer(t, client.Conf{KeepaliveTime: time.Second, KeepaliveIntvl: time.Second})
			<-c.Done()
			return c
		}, client.Stats{LostConnections: 1, Silent: 1}},
		"the server does not read": {func(t *testing.T) *client.Client[receiver] {
			conn, nc := memnet.PipeSize(16 << 10)
			p := onConn(t, nc)
			go p.hello(wireHello(0))
			c := over(t, conn, codec{}, client.Conf{WriteTimeout: time.Second})
			start(t.Context(), c, command{Body: make([]byte, 100<<10)})
			<-c.Done()
			return c
		}, client.Stats{LostConnections: 1, SlowReaders: 1}},
		"a result comes for nobody": {func(t *testing.T) *client.Client[receiver] {
			c, p := newPeer(t, client.Conf{})
			p.answer(5, 1)
			return c
		}, client.Stats{Strays: 1}},
		"the codec refuses a result": {func(t *testing.T) *client.Client[receiver] {
			c := with(t, codec{decode: func(result) error { return errors.New("no good") }})
			c.Do(t.Context(), command{})
			return c
		}, client.Stats{BadResults: 1}},
		"the codec panics": {func(t *testing.T) *client.Client[receiver] {
			c := with(t, codec{
				decode: func(result) error { panic("decode") },
				encode: func(cmd command) error {
					if cmd.N == 1 {
						panic("encode")
					}
					return nil
				},
				size: func(cmd command) int {
					if cmd.N == 2 {
						panic("size")
					}
					return 0
				},
			})
			for n := range 3 {
				c.Do(t.Context(), command{N: n})
			}
			return c
		}, client.Stats{Panics: 3}},
		"a result is too large": {func(t *testing.T) *client.Client[receiver] {
			c, p := newPeer(t, client.Conf{MaxResultSize: 100})
			done := start(t.Context(), c, command{})
			p.send(kindResult, wire.FlagLast, p.expect(kindCommand).Slot, make([]byte, 101))
			<-done
			return c
		}, client.Stats{TooLargeResults: 1}},
		"the server is not there, and comes back": {func(t *testing.T) *client.Client[receiver] {
			l := serve(t, echo, serverConf{})
			var last net.Conn
			dials := 0
			c := redial(t, func(ctx context.Context) (nc net.Conn, err error) {
				if dials++; dials == 2 || dials == 3 {
					return nil, errors.New("nobody is there")
				}
				last, err = l.Dial(ctx)
				return last, err
			}, client.Conf{})
			last.(*memnet.Conn).Cut(memnet.RST)
			synctest.Wait()
			mustDo(t, c, 1)
			return c
		}, client.Stats{LostConnections: 1, FailedAttempts: 2}},
		"a session is lost, and a command goes out again": {func(t *testing.T) *client.Client[receiver] {
			c, p, l, session := openSession(t, client.Conf{})
			results := make(chan base.AsyncResult, 1)
			if _, err := c.Send(harmless{command{N: 1}}, results); err != nil {
				t.Error(err)
			}
			p.expect(kindCommand)
			p.nc.Cut(memnet.FIN)
			p, _ = lose(t, l, session)
			p.answer(p.expect(kindCommand).Slot, 1)
			if r := <-results; r.Err != nil {
				t.Error(r.Err)
			}
			return c
		}, client.Stats{LostConnections: 1, SessionsLost: 1, SentAgain: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := test.happen(t)
				synctest.Wait()
				if got := c.Stats(); got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
			})
		})
	}
}

// A client that holds results says how many bytes they have.
func TestStatsOfHeldResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		results := make(chan base.AsyncResult)
		mustSend(t, c, command{}, results)
		p.send(kindResult, wire.FlagLast, p.expect(kindCommand).Slot, encodeResult(result{Last: true, Body: make([]byte, 20_000)}))
		synctest.Wait()
		if held := c.Stats().Bytes; held < 20_000 || held > 20_100 {
			t.Errorf("%d bytes are held of a result of 20000", held)
		}
		<-results
		synctest.Wait()
		if held := c.Stats().Bytes; held != 0 {
			t.Errorf("%d bytes are held", held)
		}
	})
}
