package base

import (
	"context"
	"encoding/hex"
	"fmt"
)

// ID names a command for good: also when it is sent again over another
// connection, or in another session. A command that stores it together with its
// effects, and looks it up first, has them once whatever happens to the network
// and to the server.
type ID struct {
	// Session is the session in which the command was sent first: 128 random
	// bits that its client chose.
	Session [16]byte
	// Seq is the command's number.
	Seq Seq
}

// String returns the session in hex, a dash, and the Seq.
func (id ID) String() string {
	return fmt.Sprintf("%s-%d", hex.EncodeToString(id.Session[:]), id.Seq)
}

type idKey struct{}

// CommandID returns the ID of the command whose Exec was called with ctx. ok is
// false where the client has no session.
//
// The ID is the client's word. Where clients may not be trusted with each other's commands,
// effects are looked up by it and by who the client is, never by it alone.
func CommandID(ctx context.Context) (id ID, ok bool) {
	id, ok = ctx.Value(idKey{}).(ID)
	return id, ok
}

// IDKey is the key under which a command's ctx holds its ID. Package handler
// makes such a ctx.
func IDKey() any { return idKey{} }
