// Package testpb has the messages of the tests.
package testpb

import "context"

// As with any proto file; protoc-gen-go is to be that of go.mod's version.
//
//go:generate protoc --go_out=. --go_opt=paths=source_relative test.proto

// Calc is a receiver.
type Calc struct{}

// Run makes a command of the message itself.
func (r *DoubleRequest) Run(context.Context, Calc) (*Sum, error) {
	return &Sum{Value: 2 * r.GetN()}, nil
}
