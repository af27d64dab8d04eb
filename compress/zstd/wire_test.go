package zstd_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/compress/zstd"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

type shelf struct{}

// Double answers with its text twice.
type Double struct{ Text []byte }

func (d Double) Run(context.Context, shelf) ([]byte, error) { return bytes.Repeat(d.Text, 2), nil }

// Bodies of all sizes come back over a connection, as commands and as results; those that
// become too large are refused on either side.
func TestOverAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		compressions := []transport.Compression{zstd.New(zstd.Default)}
		set := codec.NewSet[shelf](json.Format{})
		codec.Unary[Double](set, 1)
		c := cmdstreamtest.New(t, set.Client(), set.Server(), shelf{}, cmdstreamtest.Conf[shelf]{
			Client: client.Conf{Compressions: compressions, CompressAbove: 100, MaxResultSize: 250_000},
			Server: server.Conf[shelf]{Compressions: compressions, CompressAbove: 100, ServerSettings: server.Settings{MaxCmdSize: 200_000}},
		})
		for _, size := range []int{0, 1, 99, 1000, 5000, 20_000, 70_000} {
			text := bytes.Repeat([]byte("abc"), size)[:size]
			got, err := cmdstream.Do(t.Context(), c, Double{text})
			if err != nil || !bytes.Equal(got, bytes.Repeat(text, 2)) {
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
		}
		_, err := cmdstream.Do(t.Context(), c, Double{make([]byte, 120_000)}) // in JSON 160,000, and twice as much
		if !errors.Is(err, base.ErrTooLargeResult) || base.OutcomeOf(err) != base.Failed {
			t.Errorf("a large result: %v", err)
		}
		_, err = cmdstream.Do(t.Context(), c, Double{make([]byte, 200_000)})
		if !errors.Is(err, base.ErrTooLargeCmd) || base.OutcomeOf(err) != base.Rejected {
			t.Errorf("a large command: %v", err)
		}
	})
}
