package server_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{
			Authenticate: func(ctx context.Context, hello server.ClientHello) (context.Context, string, error) {
				return ctx, string(hello.Credentials), nil
			},
		}, commands{"wait": wait})
		if all := h.Connections(10); len(all) != 0 {
			t.Errorf("nobody is connected, but %+v", all)
		}
		began := time.Now()
		plain := h.client()
		addr := h.far.Load().RemoteAddr().String()
		time.Sleep(time.Minute)
		named, err := client.NewReconnect[World](t.Context(), clientCodec{}, h.l.Dial, client.Conf{
			Session: true, Credentials: func(context.Context) ([]byte, error) { return []byte("ann"), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer named.Close()
		h.dial() // says nothing, so it is none yet
		h.echoes(plain)
		for range 2 {
			h.run(named, "wait")
		}
		all := h.Connections(10)
		if len(all) != 2 {
			t.Fatalf("got %+v", all)
		}
		if c := all[0]; c.Principal != "" || c.Session != "" || c.Running != 0 || c.Received == 0 || c.Held != 0 || !c.Since.Equal(began) || c.RemoteAddr.String() != addr || c.LocalAddr == nil {
			t.Errorf("the first one is %+v", c)
		}
		if c := all[1]; c.Principal != "ann" || len(c.Session) != 8 || c.Session != named.Connections()[0].Session || c.Running != 2 || c.Since.Sub(began) < time.Minute {
			t.Errorf("the second one is %+v", c)
		}
		for _, limit := range []int{1, 0, -1} {
			if got := h.Connections(limit); len(got) != max(limit, 0) || limit == 1 && got[0].Principal != "" {
				t.Errorf("of %d: %+v", limit, got)
			}
		}
		plain.Close()
		settle()
		if all := h.Connections(10); len(all) != 1 || all[0].Principal != "ann" {
			t.Errorf("one has left, and there are %+v", all)
		}
	})
}
