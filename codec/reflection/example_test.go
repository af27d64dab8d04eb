package reflection_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	format "github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/server"
)

type Calc struct{}

type Add struct{ A, B int }

func (c Add) Run(context.Context, Calc) (int, error) { return c.A + c.B, nil }

// The client knows nothing of the server's commands.
func Example() {
	set := codec.NewSet[Calc](format.Format{})
	codec.Unary[Add](set, 1)
	set.Reflect()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := server.NewDef(set.Server(), Calc{})
	go s.Serve(listener)
	defer s.Close()

	ctx := context.Background()
	c, err := client.NewReconnect(ctx, reflection.NewCodec(), client.TCP(listener.Addr().String()), client.Conf{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	description, err := reflection.Describe(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	for _, cmd := range description.Commands {
		fmt.Print(cmd.Name)
		for _, field := range cmd.Body.Fields {
			fmt.Print(" ", field.Name, ":", field.Type.Kind)
		}
		fmt.Println(" gives", cmd.Result.Kind)
	}
	for result, err := range reflection.Call(ctx, c, "Add", json.RawMessage(`{"A": 2, "B": 3}`)) {
		fmt.Println(string(result), err)
	}
	// Output:
	// reflection_test.Add A:int B:int gives int
	// 5 <nil>
}
