package cmdstream_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// blob is a command and its result: it comes back as it is.
type blob []byte

func (b blob) Exec(_ context.Context, _ time.Time, seq base.Seq, _ nothing, proxy base.Proxy) error {
	return proxy.Send(seq, b)
}

func (blob) LastOne() bool { return true }

type blobCodec struct{}

func (blobCodec) Size(cmd base.Cmd[nothing]) int { return len(cmd.(blob)) }

func (blobCodec) Encode(cmd base.Cmd[nothing], w transport.Writer) error {
	_, err := w.Write(cmd.(blob))
	return err
}

func (blobCodec) Decode(r transport.Reader) (base.Result, error) {
	b, err := io.ReadAll(r)
	return blob(b), err
}

type serverBlobCodec struct{}

func (serverBlobCodec) Encode(result base.Result, w transport.Writer) error {
	_, err := w.Write(result.(blob))
	return err
}

func (serverBlobCodec) Decode(r transport.Reader) (base.Cmd[nothing], error) {
	b, err := io.ReadAll(r)
	return blob(b), err
}

// The memory of bodies is used again and again: no byte of one may come to another.
func TestBodiesOfAllSizesTogether(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(serverBlobCodec{}, nothing{}, server.Conf[nothing]{})
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(listener)
	defer s.Close()
	for _, session := range []bool{false, true} {
		t.Run(fmt.Sprintf("session=%v", session), func(t *testing.T) {
			c, err := client.NewReconnect(t.Context(), blobCodec{}, client.TCP(listener.Addr().String()), client.Conf{Session: session})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			until := time.Now().Add(time.Second)
			var wg sync.WaitGroup
			for caller := range 16 {
				random := rand.New(rand.NewPCG(1, uint64(caller)))
				wg.Go(func() {
					body := make([]byte, 300<<10)
					for n := 0; time.Now().Before(until); n++ {
						size := []int{32, 1 << 10, 4<<10 + 1, 8 << 10, 8<<10 + 1, 16<<10 + 1, 64 << 10, 64<<10 + 1, 300 << 10}[random.IntN(9)]
						for i := range size {
							body[i] = byte(caller*31 + n*7 + i)
						}
						ctx, cancel := context.WithCancel(t.Context())
						if random.IntN(4) == 0 {
							time.AfterFunc(time.Duration(random.IntN(300))*time.Microsecond, cancel)
						}
						result, err := c.Do(ctx, blob(body[:size]))
						canceled := ctx.Err() != nil
						cancel()
						switch {
						case err == nil && !bytes.Equal(result.(blob), body[:size]):
							t.Errorf("a body of %d bytes has come back as another one", size)
						case err != nil && !canceled:
							t.Errorf("a body of %d bytes: %v", size, err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
