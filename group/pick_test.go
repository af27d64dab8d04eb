package group_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/group"
	"github.com/cmdstream/cmdstream/server"
)

// The turns of a member that is lost are shared by the others, until it is back.
func TestRoundRobin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b", "c")
		g := c.join(group.Conf{Servers: group.Static("a", "b", "c")})
		if got := asks(t, g, 30); got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
			t.Errorf("got %v", got)
		}
		c.down("b")
		synctest.Wait()
		if got := asks(t, g, 30); got["a"] != 15 || got["c"] != 15 {
			t.Errorf("without b: got %v", got)
		}
		c.up("b", server.Conf[*host]{})
		time.Sleep(10 * time.Second)
		if got := asks(t, g, 30); got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
			t.Errorf("with b again: got %v", got)
		}
	})
}

func TestLeastInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b", "c")
		g := c.join(group.Conf{Servers: group.Static("a", "b", "c"), Strategy: group.LeastInFlight})
		if got := asks(t, g, 300); got["a"] < 50 || got["b"] < 50 || got["c"] < 50 {
			t.Errorf("with nothing to do: got %v", got)
		}
		// What is sent goes where less is in flight, so nobody gets far ahead.
		results := make(chan base.AsyncResult, 300)
		before := map[string]int64{}
		for _, address := range []string{"a", "b", "c"} {
			before[address] = c.at(address).ran.Load()
		}
		for range 300 {
			if _, err := g.Send(wait, results); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // each server's leader hands over, from command to command
		for address, ran := range before {
			if n := c.at(address).ran.Load() - ran; n < 90 || n > 110 {
				t.Errorf("%s got %d of 300", address, n)
			}
		}
		// One that is done with them gets most of what follows; the busiest is never preferred.
		close(c.at("c").release)
		for range 90 {
			<-results
		}
		synctest.Wait()
		if got := asks(t, g, 300); got["c"] < 150 {
			t.Errorf("with c idle: got %v", got)
		}
		c.down("c")
		c.down("b")
		synctest.Wait()
		if got := asks(t, g, 10); got["a"] != 10 {
			t.Errorf("with a alone: got %v", got)
		}
	})
}

// A key's commands go to one server. When that is lost its keys are spread over the others,
// and no other key moves.
func TestSticky(t *testing.T) {
	bubble(t, func(t *testing.T) {
		addresses := []string{"a", "b", "c", "d"}
		c := start(t, addresses...)
		g := c.join(group.Conf{Servers: group.Static(addresses...), Strategy: group.Sticky, PerAddress: 2})
		place := func() (at map[string]string, share map[string]int) {
			at, share = make(map[string]string), make(map[string]int)
			for i := range 1000 {
				key := fmt.Sprint("user-", i)
				address, err := cmdstream.Do(t.Context(), g, Of{key})
				if err != nil {
					t.Fatal(err)
				}
				at[key] = address
				share[address]++
			}
			return at, share
		}
		before, share := place()
		for _, address := range addresses {
			if share[address] < 200 || share[address] > 300 {
				t.Errorf("%s has %d keys of 1000", address, share[address])
			}
		}

		c.down("b")
		synctest.Wait()
		without, _ := place()
		moved := map[string]int{}
		for key, address := range before {
			switch {
			case address == "b":
				moved[without[key]]++
			case address != without[key]:
				t.Errorf("%s has moved from %s to %s", key, address, without[key])
			}
		}
		for _, address := range []string{"a", "c", "d"} {
			if n := moved[address]; n < share["b"]/5 || n > share["b"]/2 {
				t.Errorf("%s got %d of %d keys", address, n, share["b"])
			}
		}

		c.up("b", server.Conf[*host]{})
		time.Sleep(10 * time.Second)
		again, _ := place()
		for key, address := range before {
			if again[key] != address {
				t.Errorf("%s is at %s, and was at %s", key, again[key], address)
			}
		}

		// Commands without a key take turns.
		if got := asks(t, g, 40); got["a"] != 10 || got["d"] != 10 {
			t.Errorf("without a key: got %v", got)
		}
	})
}

// Every process finds the same server for a key, and so does every version.
func TestStickyIsTheSameEverywhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.3:9000")
		for _, order := range [][]string{
			{"10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.3:9000"},
			{"10.0.0.3:9000", "10.0.0.1:9000", "10.0.0.2:9000"},
		} {
			g := c.join(group.Conf{Servers: group.Static(order...), Strategy: group.Sticky})
			for key, want := range map[string]string{
				"": "10.0.0.3:9000", "a": "10.0.0.2:9000", "user-1": "10.0.0.3:9000", "user-2": "10.0.0.3:9000", "user-3": "10.0.0.1:9000", "Zürich": "10.0.0.2:9000",
			} {
				if got, err := cmdstream.Do(t.Context(), g, Of{key}); err != nil || got != want {
					t.Errorf("%q is at %s, want %s: %v", key, got, want, err)
				}
			}
		}
	})
}
