package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// A server that is killed takes its sessions with it: what ran there is unknown, and
// told by its ID; what comes next goes on with the server that takes its place.
func TestASessionWhoseServerIsKilled(t *testing.T) {
	codecs := codecsNamed("json")
	conf := serverConf{Addr: "127.0.0.1:0", Codec: codecs.name, Framed: true}
	var kill func()
	conf.Addr, kill = startServer(t, conf)
	c, err := client.NewReconnect(t.Context(), codecs.client, client.TCP(conf.Addr), client.Conf{Session: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := cmdstream.Do(t.Context(), c, echo{"before"}); got != "before" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := cmdstream.Do(context.Background(), c, wait{})
		done <- err
	}()
	for !c.Has(2) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	kill()
	startServer(t, conf)
	err = <-done
	var e *base.Error
	if !errors.As(err, &e) || e.Outcome != base.Unknown || e.Code != base.ErrSessionLost || e.ID.Seq != 2 || e.ID.Session == [16]byte{} {
		t.Errorf("got %#v", err)
	}
	if got, err := cmdstream.Do(t.Context(), c, echo{"after"}); got != "after" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
