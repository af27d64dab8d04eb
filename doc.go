// Package cmdstream carries the Command pattern over a network: a client sends
// commands, a server runs each against the user's receiver and sends back one
// result or many.
//
// A typed command is a Go type with a Run method (one result) or a Stream method
// (any number of results). Its result type is inferred:
//
//	type Add struct{ A, B int }
//
//	func (c Add) Run(ctx context.Context, calc Calc) (int, error) { return calc.Add(c.A, c.B), nil }
//
//	set := codec.NewSet[Calc](json.Format{})
//	codec.Unary[Add](set, 1)
//
// The server runs commands of the set, the client sends them:
//
//	err := server.NewDef(set.Server(), Calc{}).ListenAndServe(":9000")
//
//	c, err := client.NewReconnect(ctx, set.Client(), client.TCP("localhost:9000"), client.Conf{})
//	sum, err := cmdstream.Do(ctx, c, Add{2, 3})
//
// Every error that ends a command says what is known of it: base.OutcomeOf(err)
// is Unknown, NotSent, Rejected, Failed or Succeeded.
//
// # Where to look
//
//   - package client: connecting, sending, keepalive, reconnect
//   - package server: serving, limits, shutdown
//   - package group: several servers, or connections, as one client
//   - package base: the contract of commands, results and errors; the command
//     form, in which a command sends its results itself
//   - package codec: sets of typed commands, and their formats
//   - package transport: codecs of the command form, and the wires
//   - package cmdstreamtest: client and server in memory, for tests
//
// docs/guide.md leads through all of it, and docs/spec.md describes the wire.
package cmdstream
