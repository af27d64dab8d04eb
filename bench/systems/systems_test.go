package systems_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// start serves and dials.
func start(t *testing.T, system systems.System, conf systems.Conf) systems.Conn {
	t.Helper()
	server, err := system.Serve(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := system.Dial(ctx, server.Addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// testable returns the systems that can be tested as this program is built: arpc races
// with itself when a client stops, and is left to the tests without the race detector.
func testable() []systems.System {
	return slices.DeleteFunc(systems.All(), func(s systems.System) bool {
		return race && s.Info().Name == "arpc"
	})
}

// body is unlike any other in its first bytes, and not all zeros in the rest.
func body(size, number int) []byte {
	b := bytes.Repeat([]byte{0xA7}, size)
	binary.LittleEndian.PutUint64(b, uint64(number))
	return b
}

// echo lets callers call a few times each, and compares what they get.
func echo(t *testing.T, conn systems.Conn, callers, calls, size int) {
	t.Helper()
	var wg sync.WaitGroup
	for number := range callers {
		caller, err := conn.Caller()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range calls {
				want := body(size, number*1000+i)
				got, err := caller.Echo(want)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("the answer to a body of %d bytes has %d, error %v", len(want), len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestEachSystemEchoes(t *testing.T) {
	certificate, key, err := systems.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, system := range testable() {
		if system.Info().Windowed {
			continue
		}
		for name, conf := range map[string]systems.Conf{
			"plain":    {},
			"deadline": {Timeout: 10 * time.Second},
			"job":      {Job: systems.Job{Sleep: time.Millisecond, Compute: 100 * time.Microsecond}},
			"tls":      {Certificate: certificate, Key: key},
		} {
			if conf.Certificate != nil && system.Info().NoTLS {
				continue
			}
			t.Run(system.Info().Name+"/"+name, func(t *testing.T) {
				conn := start(t, system, conf)
				for _, size := range []int{32, 1 << 10, 64 << 10} {
					echo(t, conn, 8, 5, size)
				}
			})
		}
		if system.Info().NoLarge {
			continue
		}
		t.Run(system.Info().Name+"/large", func(t *testing.T) {
			echo(t, start(t, system, systems.Conf{MaxBody: 8 << 20}), 1, 2, 5<<20)
		})
	}
}

// flow is a window's requests and answers, some hundreds.
type flow struct {
	mu       sync.Mutex
	size     int
	requests map[int]int // how often a place was asked for
	answers  int
}

func (f *flow) Request(place int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests[place]++
	return body(32, place+f.size*f.requests[place])
}

func (f *flow) Answer(answer []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers++
	number := int(binary.LittleEndian.Uint64(answer))
	place := number % f.size
	if want := body(32, place+f.size*f.requests[place]); !bytes.Equal(answer, want) {
		return 0, fmt.Errorf("the answer is %x, not %x", answer, want)
	}
	return place, nil
}

func (f *flow) Done() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers >= 500
}

func TestEachWindowIsAnswered(t *testing.T) {
	for _, system := range testable() {
		conn := start(t, system, systems.Conf{})
		windower, ok := conn.(systems.Windower)
		if !ok {
			continue
		}
		t.Run(system.Info().Name, func(t *testing.T) {
			f := &flow{size: 50, requests: map[int]int{}}
			if err := windower.Window(f, f.size); err != nil {
				t.Fatal(err)
			}
			asked := 0
			for _, n := range f.requests {
				asked += n
			}
			if f.answers != asked {
				t.Errorf("%d answers to %d requests", f.answers, asked)
			}
		})
	}
}

func TestEachStreamHasItsResults(t *testing.T) {
	for _, system := range testable() {
		conn := start(t, system, systems.Conf{Stream: true})
		streamer, ok := conn.(systems.Streamer)
		if !ok {
			continue
		}
		t.Run(system.Info().Name, func(t *testing.T) {
			got := 0
			want := make([]byte, systems.ResultSize)
			err := streamer.Stream(1000, func(result []byte) error {
				systems.FillResult(want, got)
				got++
				if !bytes.Equal(result, want) {
					return fmt.Errorf("result %d is %x", got, result)
				}
				return nil
			})
			if err != nil || got != 1000 {
				t.Errorf("%d results, error %v", got, err)
			}
		})
	}
}

func TestJSONAlone(t *testing.T) {
	want := body(32, 7)
	got, err := systems.Marshal(want)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, error %v", got, err)
	}
}
