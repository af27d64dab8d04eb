package client_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"math"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// fixed is a codec that allocates nothing; one is what it decodes.
type fixed struct{}

var one base.Result = result{N: 1, Last: true}

func (fixed) Encode(_ base.Cmd[receiver], w transport.Writer) error { return w.WriteByte(7) }
func (fixed) Size(base.Cmd[receiver]) int                           { return 1 }

func (fixed) Decode(r transport.Reader) (base.Result, error) {
	_, err := r.ReadByte()
	return one, err
}

// A command that ends well costs the client no allocation, with a Timeout or
// without. This is measured over a real socket, to which the client writes without
// a goroutine between.
func TestDoDoesNotAllocate(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	for name, conf := range map[string]client.Conf{"plainly": {}, "with Timeout": {Timeout: time.Minute}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go answerAll(t, l)
		conn, err := client.TCP(l.Addr().String())(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(t.Context(), fixed{}, conn, conf)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		var cmd base.Cmd[receiver] = command{}
		got := testing.AllocsPerRun(1000, func() {
			if _, err := c.Do(ctx, cmd); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("Do %s: %v allocations", name, got)
		}
		c.Close()
	}
}

// A goroutine that has just begun, and calls Do, does without another stack, also while the codec
// decodes the result, if it needs little itself: a hundred thousand calls at once take that much
// less memory, and time.
func TestDoIsContentWithASmallStack(t *testing.T) {
	if race {
		t.Skip("the race detector's frames are larger")
	}
	const most = 2600 // bytes; a goroutine begins with 2048, and the next size is 4096
	for name, answered := range map[string]bool{"waiting": false, "decoding": true} {
		least := math.MaxInt
		for range 5 { // the runtime now and then has new goroutines begin with more
			if least = min(least, stackOfCalls(t, 1000, answered)); least <= most {
				break
			}
		}
		if least > most {
			t.Errorf("%s, each call has %d bytes of stack", name, least)
		}
	}
}

// lingering is a codec that holds each result up, once it has begun to decode it.
type lingering struct {
	fixed
	begun chan struct{}
	end   chan struct{}
}

func (l *lingering) Decode(r transport.Reader) (base.Result, error) {
	var room [200]byte
	n, err := r.Read(room[:])
	l.begun <- struct{}{}
	<-l.end
	return result{N: int(room[0]) + n, Last: true}, err
}

// stackOfCalls returns how many bytes of stack each of n calls has, all of which begin at once
// and wait for their answer, or are decoding it.
func stackOfCalls(t *testing.T, n int, answered bool) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came, server := make(chan struct{}, n), make(chan net.Conn, 1)
	go func() {
		nc, r := greet(t, l)
		server <- nc
		hearAll(nc, r, came)
	}()
	conn, err := client.TCP(l.Addr().String())(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	codec := &lingering{begun: make(chan struct{}, n), end: make(chan struct{})}
	c, err := client.New(t.Context(), codec, conn, client.Conf{})
	if err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	defer calls.Wait()
	defer c.Close()
	defer close(codec.end)
	stacks := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.StackInuse
	}
	ctx := context.Background()
	var cmd base.Cmd[receiver] = command{}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // who writes for the others needs more: so few do
	before, begin := stacks(), make(chan struct{})
	for range n {
		calls.Go(func() {
			<-begin
			c.Do(ctx, cmd)
		})
	}
	close(begin)
	for range n {
		<-came
	}
	if answered {
		var answers []byte
		for slot := range n {
			answers = appendFrame(answers, kindResult, wire.FlagLast, uint64(slot), []byte{1})
		}
		(<-server).Write(answers)
		for range n {
			<-codec.begun
		}
	}
	return int(stacks()-before) / n
}

// hearAll tells of each command that comes on a connection, and answers none.
func hearAll(nc net.Conn, r *bufio.Reader, came chan<- struct{}) {
	defer nc.Close()
	for {
		kind, err := r.ReadByte()
		if err != nil {
			return
		}
		binary.ReadUvarint(r) // the slot
		length, _ := binary.ReadUvarint(r)
		r.Discard(int(length))
		if wire.Kind(kind>>4) == kindCommand {
			came <- struct{}{}
		}
	}
}

// greet says hello on l's first connection.
func greet(t testing.TB, l net.Listener) (net.Conn, *bufio.Reader) {
	nc, err := l.Accept()
	l.Close()
	if err != nil {
		panic(err) // nothing else could be said in this goroutine that ends the test
	}
	p := &peer{t: t, r: bufio.NewReader(nc)}
	p.hearHello()
	hello, err := wire.AppendServerHello(nil, wire.ServerHello{Info: []byte("default")})
	if err != nil {
		t.Error(err)
	}
	nc.Write(hello)
	return nc, p.r
}

// answerAll answers each command on l's first connection, on the slot 0, without
// allocating: by one frame with a result of one byte.
func answerAll(t testing.TB, l net.Listener) {
	nc, r := greet(t, l)
	defer nc.Close()
	answer := appendFrame(nil, kindResult, wire.FlagLast, 0, []byte{1})
	for {
		kind, err := r.ReadByte()
		if err != nil {
			return
		}
		r.ReadByte() // the slot
		length, err := r.ReadByte()
		if err != nil {
			return
		}
		r.Discard(int(length))
		if wire.Kind(kind>>4) == kindCommand {
			nc.Write(answer)
		}
	}
}
