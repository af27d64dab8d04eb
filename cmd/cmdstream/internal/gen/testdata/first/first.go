// Package first uses what will be written for it, for the first time.
package first

import (
	"context"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/codec/json"
)

// One and two are interfaces.
type (
	One interface {
		Do(ctx context.Context) error
	}
	two interface {
		Do(ctx context.Context) error
	}
)

// Set and New are used elsewhere.
var Set = OneCommands(json.Format{}).Client()

func New(c cmdstream.Client[One], d cmdstream.Client[two]) (One, two) {
	_ = twoCommands(json.Format{})
	return NewOneClient(c), newTwoClient(d)
}

// Idempotent says that it may be sent again.
func (oneDoCommand) Idempotent() bool { return true }
