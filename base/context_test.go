package base_test

import (
	"context"
	"crypto/tls"
	"testing"

	"github.com/cmdstream/cmdstream/base"
)

func TestTLS(t *testing.T) {
	if got := base.TLS(t.Context()); got != nil {
		t.Errorf("a ctx without TLS gives %v", got)
	}
	state := &tls.ConnectionState{ServerName: "name"}
	ctx, cancel := context.WithCancel(base.ContextWithTLS(t.Context(), state))
	defer cancel()
	if got := base.TLS(ctx); got != state {
		t.Errorf("got %v, want the state that was put in", got)
	}
	if got := base.TLS(base.ContextWithTLS(ctx, nil)); got != nil {
		t.Errorf("got %v, want nil over TLS of an outer connection", got)
	}
}
