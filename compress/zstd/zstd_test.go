package zstd_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	kzstd "github.com/klauspost/compress/zstd"

	"github.com/cmdstream/cmdstream/compress/zstd"
	"github.com/cmdstream/cmdstream/internal/frugal"
	"github.com/cmdstream/cmdstream/internal/leak"
	"github.com/cmdstream/cmdstream/transport"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestBodiesComeBack(t *testing.T) {
	c := zstd.New(zstd.Default)
	r := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	for range 4 {
		seed := r.Uint64()
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 2))
			for range 50 {
				body := bytes.Repeat([]byte{byte(r.Uint32()), 1, 2}, r.IntN(20_000))
				packed, err := c.Compress([]byte("before"), body)
				if err != nil || !bytes.HasPrefix(packed, []byte("before")) {
					t.Errorf("got %v", err)
				}
				got, err := c.Decompress([]byte("and "), packed[6:], len(body))
				if err != nil || !bytes.Equal(got[4:], body) || string(got[:4]) != "and " {
					t.Errorf("%d bytes came back as %d, %v", len(body), len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

// A bomb costs no more memory than the limit.
func TestABomb(t *testing.T) {
	c := zstd.New(zstd.Best)
	bomb, err := c.Compress(nil, make([]byte, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	c.Decompress(nil, bomb, 10) // the reader's own memory
	var got []byte
	frugal.Check(t, 6<<20, func() { got, err = c.Decompress(nil, bomb, 1<<20) })
	if !errors.Is(err, transport.ErrTooLarge) || len(got) != 0 {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	c := zstd.New(zstd.Fastest)
	packed, _ := c.Compress(nil, []byte("a body that is not long"))
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"garbage":        {0xff, 0xff, 0xff},
		"cut off":        packed[:len(packed)-3],
		"trailing bytes": append(bytes.Clone(packed), 0),
	} {
		if got, err := c.Decompress(nil, b, 1000); err == nil || len(got) != 0 {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, err := c.Decompress(nil, packed, 1000); string(got) != "a body that is not long" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzDecompress(f *testing.F) {
	c := zstd.New(zstd.Fastest)
	packed, _ := c.Compress(nil, []byte("some some some body"))
	f.Add(packed)
	bomb, _ := c.Compress(nil, make([]byte, 1<<20))
	f.Add(bomb)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var got []byte
		var err error
		frugal.Check(t, 1<<20, func() { got, err = c.Decompress(nil, b, 1000) })
		if len(got) > 1000 || err != nil && len(got) > 0 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// Bodies with many limits leave nothing behind.
func TestManyLimits(t *testing.T) {
	c := zstd.New(zstd.Fastest)
	packed, _ := c.Compress(nil, make([]byte, 1000))
	decompress := func(limits int) {
		for n := range limits {
			if got, err := c.Decompress(nil, packed, 64<<10+n); len(got) != 1000 || err != nil {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
		}
	}
	decompress(10)
	before := heap()
	decompress(1000)
	after := heap()
	runtime.KeepAlive(c)
	if after > before+100<<10 {
		t.Errorf("the heap has %d KiB, and had %d", after>>10, before>>10)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A frame that does not say how much it makes, and several frames, are bodies too.
func TestFramesThatDoNotSayTheirSize(t *testing.T) {
	var b bytes.Buffer
	w, err := kzstd.NewWriter(&b, kzstd.WithWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // flushed pieces, so that the size is not known when it begins
		w.Write(make([]byte, 100_000))
		w.Flush()
	}
	w.Close()
	c := zstd.New(zstd.Fastest)
	twice := append(bytes.Clone(b.Bytes()), b.Bytes()...)
	for name, test := range map[string]struct {
		body []byte
		size int
	}{"one": {b.Bytes(), 300_000}, "two": {twice, 600_000}} {
		if got, err := c.Decompress([]byte("before"), test.body, test.size); len(got) != 6+test.size || string(got[:6]) != "before" || err != nil {
			t.Errorf("%s: got %d bytes, %v", name, len(got), err)
		}
		if got, err := c.Decompress(nil, test.body, test.size-1); !errors.Is(err, transport.ErrTooLarge) || len(got) != 0 {
			t.Errorf("%s: got %d bytes, %v", name, len(got), err)
		}
	}
}
