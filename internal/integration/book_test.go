package integration_test

import (
	"context"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// book is a receiver whose entries outlive its process.
type book struct{ file *os.File }

// entry is what a command does: it makes one, in the life of a process.
type entry struct {
	number int
	life   int
	id     base.ID // zero: none
}

// entrySize divides a page, so that no kill leaves a part of an entry.
const entrySize = 32 // bytes

func (b *book) enter(ctx context.Context, number int) error {
	id, _ := base.CommandID(ctx)
	record := make([]byte, 0, entrySize)
	record = binary.BigEndian.AppendUint32(record, uint32(number))
	record = binary.BigEndian.AppendUint32(record, uint32(os.Getpid()))
	record = append(record, id.Session[:]...)
	record = binary.BigEndian.AppendUint64(record, uint64(id.Seq))
	_, err := b.file.Write(record)
	return err
}

func readBook(t *testing.T, path string) (entries []entry) {
	t.Helper()
	records, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for ; len(records) >= entrySize; records = records[entrySize:] {
		entries = append(entries, entry{
			number: int(binary.BigEndian.Uint32(records)), life: int(binary.BigEndian.Uint32(records[4:])),
			id: base.ID{Session: [16]byte(records[8:24]), Seq: base.Seq(binary.BigEndian.Uint64(records[24:]))},
		})
	}
	return entries
}

// note makes an entry, after a time, and returns after another.
type note struct {
	Number       int
	Before, Then time.Duration
	Deaf         bool // to its ctx
	Padding      []byte
}

func (n note) Run(ctx context.Context, b *book) (int, error) {
	if n.Deaf {
		ctx = context.WithoutCancel(ctx)
	}
	if err := pause(ctx, n.Before); err != nil {
		return 0, err
	}
	if err := b.enter(ctx, n.Number); err != nil {
		return 0, err
	}
	return n.Number, pause(ctx, n.Then)
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// repeatable is a note that may be made twice. Its number has a bit of its own.
type repeatable struct{ Note note }

const repeatableBit = 1 << 30

func (r repeatable) Run(ctx context.Context, b *book) (int, error) { return r.Note.Run(ctx, b) }

func (repeatable) Idempotent() bool { return true }

// notes makes entries, and tells of each in so many bytes.
type notes struct{ From, To, Size int }

type noted struct {
	Number  int
	Padding []byte
}

func (n notes) Stream(ctx context.Context, b *book, send func(noted) error) error {
	padding := make([]byte, n.Size)
	for number := n.From; number < n.To; number++ {
		if err := b.enter(ctx, number); err != nil {
			return err
		}
		if err := send(noted{number, padding}); err != nil {
			return err
		}
	}
	return nil
}

func bookSet() *codec.Set[*book] {
	set := codec.NewSet[*book](json.Format{})
	codec.Unary[note](set, 1)
	codec.Unary[repeatable](set, 2)
	codec.Stream[notes](set, 3)
	return set
}

// judge holds what the callers were told against the entries, which are the truth: an
// entry with a number below repeatableBit was made once at most, another one of a session
// once at most in each life of the server, under one ID; and every outcome is true.
func judge(t *testing.T, path string, all []report) {
	t.Helper()
	type fact struct {
		times, lives int
		last         entry
	}
	facts := make(map[int]fact)
	for _, e := range readBook(t, path) {
		f := facts[e.number]
		f.times++
		if f.times == 1 || e.life != f.last.life {
			f.lives++
		}
		if f.times > 1 && e.id != f.last.id {
			t.Errorf("entry %d was made under the IDs %v and %v", e.number, f.last.id, e.id)
		}
		f.last = e
		facts[e.number] = f
	}
	for number, f := range facts {
		if f.times > 1 && number < repeatableBit || f.times > f.lives && f.last.id != (base.ID{}) {
			t.Errorf("entry %d was made %d times, in %d lives of the server", number, f.times, f.lives)
		}
	}
	outcomes := make(map[base.Outcome]int)
	for _, r := range all {
		outcomes[r.Outcome]++
		for number := r.From; number < r.To; number++ {
			f := facts[number]
			switch {
			case r.Outcome == base.Succeeded && f.times == 0,
				(r.Outcome == base.NotSent || r.Outcome == base.Rejected) && f.times > 0,
				r.Outcome == base.Unknown && r.ID != (base.ID{}) && f.times > 0 && f.last.id != r.ID:
				t.Errorf("entry %d was made %d times, as %v; its caller was told %+v", number, f.times, f.last.id, r)
			}
		}
		if r.Outcome == base.Failed || r.Hung {
			t.Errorf("a caller was told %+v", r)
		}
	}
	t.Logf("%d entries; outcomes %v", len(facts), outcomes)
}
