package json_test

import (
	"fmt"
	"reflect"

	"github.com/cmdstream/cmdstream/codec/json"
)

// Order is a command's data.
type Order struct {
	Item  string
	Count int
}

// Account has a field that JSON can't see.
type Account struct {
	Name    string
	balance int
}

func ExampleFormat() {
	var format json.Format
	data, err := format.Append(nil, &Order{"tea", 2})
	fmt.Println(string(data), err)

	var order Order
	fmt.Println(format.Unmarshal([]byte(`{"Item":"tea","Note":"ignored"}`), &order), order)
	fmt.Println(format.Unmarshal([]byte(`{"Item":"tea"} and more`), &order))
	// Output:
	// {"Item":"tea","Count":2} <nil>
	// <nil> {tea 0}
	// invalid character 'a' after top-level value
}

func ExampleFormat_Check() {
	err := json.Format{}.Check(reflect.TypeOf(Account{"me", 7}))
	fmt.Println(err)
	// Output:
	// json: json_test.Account.balance is not exported and would be lost: export it, tag it `json:"-"`, or let its struct marshal and unmarshal itself
}
