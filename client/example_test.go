package client_test

import (
	"context"
	"fmt"
	"net"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// example runs a server whose commands count to their N.
func example() (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := server.NewDef(serverCodec{}, receiver(count))
	go s.Serve(l)
	return l.Addr().String(), func() { s.Close() }
}

// A client over one connection. When that is lost, the client has ended.
func ExampleNew() {
	addr, stop := example()
	defer stop()

	ctx := context.Background()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := client.New(ctx, codec{}, conn, client.Conf{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	r, err := c.Do(ctx, command{N: 1})
	fmt.Println(r.(result).N, err)
	// Output: 1 <nil>
}

// A client that dials again when its connection is lost.
func ExampleNewReconnect() {
	addr, stop := example()
	defer stop()

	ctx := context.Background()
	c, err := client.NewReconnect(ctx, codec{}, client.TCP(addr), client.Conf{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	for r, err := range c.Results(ctx, command{N: 3}) {
		if err != nil {
			fmt.Println(err, "- outcome:", base.OutcomeOf(err))
			break
		}
		fmt.Println(r.(result).N)
	}
	// Output:
	// 1
	// 2
	// 3
}

// Send does not wait for results: they come through a channel.
func ExampleClient_Send() {
	addr, stop := example()
	defer stop()

	c, err := client.NewReconnect(context.Background(), codec{}, client.TCP(addr), client.Conf{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	results := make(chan base.AsyncResult, 2)
	seq, err := c.Send(command{N: 2}, results)
	if err != nil {
		fmt.Println(err)
		return
	}
	for last := false; !last; {
		r := <-results
		if r.Err != nil {
			fmt.Println(r.Err)
			break
		}
		fmt.Println(r.Seq == seq, r.Result.(result).N)
		last = r.Result.LastOne()
	}
	// Output:
	// true 1
	// true 2
}
