package group_test

import (
	"context"
	"fmt"
	"net"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/group"
	"github.com/cmdstream/cmdstream/server"
)

// Two servers, in turn.
func ExampleNew() {
	var addresses []string
	for _, name := range []string{"one", "two"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			fmt.Println(err)
			return
		}
		s := server.NewDef(set.Server(), &host{address: name})
		go s.Serve(l)
		defer s.Close()
		addresses = append(addresses, l.Addr().String())
	}

	ctx := context.Background()
	g, err := group.New(ctx, set.Client(), group.Conf{Servers: group.Static(addresses...)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()

	answered := map[string]bool{}
	for len(answered) < 2 { // one of them may be connected first
		name, err := cmdstream.Do(ctx, g, Where{})
		if err != nil {
			fmt.Println(err)
			return
		}
		answered[name] = true
	}
	fmt.Println(answered)
	// Output: map[one:true two:true]
}

// A group whose servers are those of a DNS name.
func ExampleDNS() {
	_, err := group.New(context.Background(), set.Client(), group.Conf{Servers: group.DNS("calc.internal", 0)})
	fmt.Println(err)
	// Output: cmdstream: group: DNS wants a host and a port, such as calc.internal:9000: address calc.internal: missing port in address
}
