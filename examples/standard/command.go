package main

import (
	"context"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// Calculator is the receiver: the part of the server that commands work with.
type Calculator struct{}

func (Calculator) Add(a, b int) int { return a + b }
func (Calculator) Sub(a, b int) int { return a - b }

// AddCmd is a command: plain data, and what to do with it at the server.
type AddCmd struct{ A, B int }

// Exec runs at the server. It sends the result under the command's number.
func (c AddCmd) Exec(_ context.Context, _ time.Time, seq base.Seq, calculator Calculator, proxy base.Proxy) error {
	return proxy.Send(seq, Result(calculator.Add(c.A, c.B)))
}

// SubCmd is another command.
type SubCmd struct{ A, B int }

// Exec runs at the server.
func (c SubCmd) Exec(_ context.Context, _ time.Time, seq base.Seq, calculator Calculator, proxy base.Proxy) error {
	return proxy.Send(seq, Result(calculator.Sub(c.A, c.B)))
}

// Result is what both commands send back.
type Result int

// LastOne is true: a command sends one result, and no more follow.
func (Result) LastOne() bool { return true }
