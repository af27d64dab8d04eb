package debug_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/debug"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

func TestServersAndClientsAreWatched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		page := debug.New()
		set := newSet()
		s, err := server.New(set.Server(), World{}, server.Conf[World]{
			Use: []handler.Middleware[World]{debug.Server[World](page)},
			Authenticate: func(ctx context.Context, hello server.ClientHello) (context.Context, string, error) {
				return ctx, string(hello.Credentials), nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		l := memnet.Listen()
		go s.Serve(l)
		defer s.Close()
		stop := page.WatchServer("shop", s)
		dial := func(name string) *client.Client[World] {
			c, err := client.NewReconnect(t.Context(), set.Client(), l.Dial, client.Conf{
				Session: true, Credentials: func(context.Context) ([]byte, error) { return []byte(name), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			page.WatchClient(name, c)
			return c
		}
		ann := dial("ann")
		time.Sleep(time.Minute)
		bob := dial("bob")
		defer bob.Close()
		var waiting sync.WaitGroup
		waiting.Go(func() { cmdstream.Do(t.Context(), ann, Work{Took: time.Hour}) })
		synctest.Wait()

		got := page.Snapshot()
		if len(got.Servers) != 1 || got.Servers[0].Name != "shop" || got.Servers[0].Stats.Connections != 2 || got.Servers[0].Stats.Sessions != 2 {
			t.Fatalf("it shows %+v", got.Servers)
		}
		conns := got.Servers[0].Connections
		for i, want := range []debug.ConnInfo{{Principal: "ann", InFlight: 1}, {Principal: "bob"}} {
			c, mine := conns[i], got.Clients[i].Connections[0]
			if c.Principal != want.Principal || c.InFlight != want.InFlight || mine.InFlight != want.InFlight {
				t.Errorf("the connection is %+v at the server, and %+v at the client", c, mine)
			}
			if len(c.Session) != 8 || c.Session != mine.Session || c.Received == 0 || mine.Received == 0 || c.Remote == "" || mine.Remote == "" {
				t.Errorf("the connection is %+v at the server, and %+v at the client", c, mine)
			}
		}
		if conns[0].Session == conns[1].Session || conns[1].Since.Sub(conns[0].Since) != time.Minute {
			t.Errorf("the connections are %+v", conns)
		}
		if got.Clients[0].Stats != (client.Stats{InFlight: 1}) {
			t.Errorf("the client has counted %+v", got.Clients[0].Stats)
		}
		if got.Clients[0].Name != "ann" || got.Clients[0].State != "connected" || got.Clients[0].Error != "" {
			t.Errorf("the client is %+v", got.Clients[0])
		}

		waiting.Wait()
		ann.Close()
		synctest.Wait()
		got = page.Snapshot()
		if gone := got.Clients[0]; gone.State != "closed" || !strings.Contains(gone.Error, "closed") || len(gone.Connections) != 0 {
			t.Errorf("the client that was closed is %+v", gone)
		}
		if len(got.Servers[0].Connections) != 1 {
			t.Errorf("the server has %+v", got.Servers[0].Connections)
		}
		stop()
		stop() // again, which does nothing
		if got := page.Snapshot(); len(got.Servers) != 0 || len(got.Clients) != 2 {
			t.Errorf("it still shows %+v", got.Servers)
		}
	})
}

// many is a client with more connections than there can be.
type many struct{ client.ConnInfo }

func (many) State() client.State { return client.Connecting }
func (many) Stats() client.Stats { return client.Stats{} }
func (many) Err() error          { return errLost }
func (m many) Connections() (all []client.ConnInfo) {
	for range 10 * debug.MaxConnections {
		all = append(all, m.ConnInfo)
	}
	return all
}

func TestLongListsAreCut(t *testing.T) {
	page := debug.New()
	page.WatchClient(strings.Repeat("long", 1000), many{client.ConnInfo{RemoteAddr: longAddr{}, Leaving: true}})
	got := page.Snapshot().Clients[0]
	if len(got.Name) > debug.MaxText || len(got.Connections) != debug.MaxConnections || got.State != "connecting" || got.Error != "lost" {
		t.Errorf("it shows %.40s, %s, %s, %d connections", got.Name, got.State, got.Error, len(got.Connections))
	}
	if c := got.Connections[0]; len(c.Remote) > debug.MaxText || !c.Leaving {
		t.Errorf("a connection is %+v", c)
	}
}

type longAddr struct{ net.Addr }

func (longAddr) String() string { return strings.Repeat("long", 1000) }

// Pages are asked for while commands come and go.
func TestManyAtOnce(t *testing.T) {
	page := debug.New()
	c, conn := connect(t, page, World{"fail": func(context.Context) error { return errLost }})
	const callers, each = 8, 200
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for n := range each {
				cmdstream.Do(t.Context(), c, Work{Name: []string{"", "fail"}[n%2]})
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for range 20 {
				stop := page.WatchClient("c", conn)
				page.Snapshot()
				stop()
			}
		})
	}
	all.Wait()
	if got := find(t, page, debug.ClientSide, "debug_test.Work"); got.Succeeded != callers*each/2 || got.Failed != callers*each/2 || got.InFlight != 0 {
		t.Errorf("it shows %+v", got)
	}
}

func ExamplePage() {
	page := debug.New()
	set := newSet()
	s, err := server.New(set.Server(), World{}, server.Conf[World]{Use: []handler.Middleware[World]{debug.Server[World](page)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	page.WatchServer("world", s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go s.Serve(l)
	defer s.Close()

	ctx := context.Background()
	conn, err := client.NewReconnect(ctx, set.Client(), client.TCP(l.Addr().String()), client.Conf{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	c := cmdstream.Use(conn, debug.Client[World](page))
	fmt.Println(cmdstream.Do(ctx, c, Work{Name: "greet"}))

	// http.Handle(debug.Path, page) shows it in a browser; here it is as values.
	seen := page.Snapshot()
	fmt.Println(seen.Servers[0].Name, seen.Servers[0].Stats.Connections)
	for _, one := range seen.Commands {
		if one.Side == debug.ClientSide {
			fmt.Println(one.Name, one.Succeeded, one.Failed)
		}
	}
	// Output:
	// greet <nil>
	// world 1
	// debug_test.Work 1 0
}
