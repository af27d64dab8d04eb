package replaceable

import (
	"context"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

const refusal = "nobody may wait here"

// guard is an Invoker that refuses some commands, and measures the others.
type guard struct {
	receiver scribe

	mu   sync.Mutex // protects what follows
	took map[base.Seq]time.Duration
}

func (g *guard) Invoke(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[scribe], proxy base.Proxy) error {
	if _, ok := cmd.(wait); ok {
		return &base.Error{Outcome: base.Rejected, Code: base.ErrUnauthorized, Message: refusal}
	}
	err := cmd.Exec(ctx, at, seq, g.receiver, proxy)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.took[seq] = time.Since(at)
	return err
}
