package memnet

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelay(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Delay: time.Second})
		started := time.Now()
		at := func(want time.Duration) {
			t.Helper()
			if passed := time.Since(started); passed != want {
				t.Errorf("it is %v, want %v", passed, want)
			}
		}
		write(t, client, pattern(2))
		time.Sleep(time.Second / 4)
		write(t, client, pattern(3)) // the delays overlap
		time.Sleep(time.Second / 4)
		client.SetPlan(Plan{}) // what follows does not overtake
		write(t, client, pattern(4))
		client.CloseWrite()
		readExactly(t, server, pattern(2))
		at(time.Second)
		readExactly(t, server, pattern(3))
		at(time.Second + time.Second/4)
		readExactly(t, server, pattern(4))
		readEnd(t, server)
		at(time.Second + time.Second/4)
	})
}

// The pieces stay apart behind bytes that are still under way.
func TestShortDeliveriesBehindDelay(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Delay: time.Second})
		write(t, client, pattern(1))
		client.SetPlan(Plan{})
		write(t, client, pattern(1))
		client.SetPlan(Plan{ShortDeliveries: 1})
		write(t, client, pattern(3))
		for _, n := range []int{2, 1, 1, 1} {
			(<-start(server.Read, make([]byte, smallSize))).want(t, n, nil)
		}
	})
}

func TestDelayedEnd(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Delay: time.Second})
		started := time.Now()
		client.Close()
		readEnd(t, server)
		if passed := time.Since(started); passed != time.Second {
			t.Errorf("the end came after %v, want 1s", passed)
		}
	})
}

// observe writes data under a plan and returns the sizes of the reads.
func observe(t *testing.T, plan Plan, data []byte) (lengths []int, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe()
		client.SetPlan(plan)
		started := time.Now()
		go func() {
			client.Write(data[:len(data)/2])
			client.Write(data[len(data)/2:])
			client.Close()
		}()
		all, buffer := []byte(nil), make([]byte, len(data))
		for {
			n, err := server.Read(buffer)
			if err == io.EOF {
				break
			}
			lengths = append(lengths, n)
			all = append(all, buffer[:n]...)
			synctest.Wait()
		}
		took = time.Since(started)
		server.Close()
		if !bytes.Equal(all, data) {
			t.Errorf("%v: other bytes came than were written", plan)
		}
	})
	return lengths, took
}

func TestShortReadsAndDeliveries(t *testing.T) {
	data := pattern(200)
	for name, plan := range map[string]Plan{
		"reads":              {ShortReads: 7},
		"deliveries":         {ShortDeliveries: 7},
		"delayed deliveries": {ShortDeliveries: 7, Delay: time.Second},
		"both":               {ShortDeliveries: 9, ShortReads: 7, Delay: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			lengths, took := observe(t, plan, data)
			if len(lengths) < 2*len(data)/9 || slices.Max(lengths) > 9 {
				t.Errorf("the reads are not short: %v", lengths)
			}
			if first := slices.Compact(slices.Sorted(slices.Values(lengths))); len(first) < 3 {
				t.Errorf("the sizes are not random: %v", lengths)
			}
			if name == "delayed deliveries" && took != time.Duration(len(lengths))*time.Second {
				t.Errorf("%d deliveries took %v, want 1s each", len(lengths), took)
			}
			again, _ := observe(t, plan, data)
			if !slices.Equal(lengths, again) {
				t.Errorf("the same seed gave different sizes:\n%v\n%v", lengths, again)
			}
			plan.Seed++
			if other, _ := observe(t, plan, data); slices.Equal(lengths, other) {
				t.Errorf("another seed gave the same sizes: %v", lengths)
			}
		})
	}
}

func TestCutUnderDelay(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Cut: FIN, At: 5, Delay: time.Second, ShortDeliveries: 1})
		started := time.Now()
		write(t, client, pattern(5))
		readExactly(t, server, pattern(5))
		readEnd(t, server)
		if passed := time.Since(started); passed != 5*time.Second {
			t.Errorf("five bytes and the end took %v, want 5s", passed)
		}
	})
}
