package main

import (
	"context"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// Shop is the receiver.
type Shop struct {
	tracer trace.Tracer
	prices map[string]int
}

// lookUp has a span of its own, below that of the command whose ctx it is given.
func (s Shop) lookUp(ctx context.Context, article string) (price int, ok bool) {
	_, span := s.tracer.Start(ctx, "look up")
	defer span.End()
	price, ok = s.prices[article]
	return price, ok
}

// Price asks what an article costs.
type Price struct{ Article string }

// Run runs at the server.
func (c Price) Run(ctx context.Context, shop Shop) (int, error) {
	price, ok := shop.lookUp(ctx, c.Article)
	if !ok {
		return 0, &base.Error{Code: "no_such_article", Message: "there is no " + c.Article}
	}
	return price, nil
}

// Articles lists what there is.
type Articles struct{}

// Stream runs at the server.
func (Articles) Stream(_ context.Context, shop Shop, send func(string) error) error {
	for _, article := range slices.Sorted(maps.Keys(shop.prices)) {
		if err := send(article); err != nil {
			return err
		}
	}
	return nil
}

func newSet() *codec.Set[Shop] {
	set := codec.NewSet[Shop](json.Format{})
	codec.Unary[Price](set, 1)
	codec.Stream[Articles](set, 2)
	return set
}
