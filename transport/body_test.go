package transport

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

func TestBody(t *testing.T) {
	if err := iotest.TestReader(NewBody(pattern(1000)), pattern(1000)); err != nil {
		t.Error(err)
	}
	b := NewBody([]byte("ab"))
	if c, err := b.ReadByte(); c != 'a' || err != nil {
		t.Errorf("read %q, %v", c, err)
	}
	if rest, err := io.ReadAll(b); string(rest) != "b" || err != nil {
		t.Errorf("read %q, %v", rest, err)
	}
	if _, err := b.ReadByte(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
}

// A large body lies in pieces, whose memory is used again once they were read.
func TestABodyInPieces(t *testing.T) {
	content := pattern(3*pieceSize + 100)
	pieces := func() *Pieces {
		p, r := &Pieces{pool: new(Pool)}, bytes.NewReader(content)
		for step := 1; r.Len() > 0; step *= 7 {
			if err := p.read(r, min(step, r.Len()), len(content)-p.Len()); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	var b Body
	b.SetPieces(pieces())
	if b.Len() != len(content) {
		t.Errorf("it has %d bytes", b.Len())
	}
	if err := iotest.TestReader(&b, content); err != nil {
		t.Error(err)
	}
	b.SetPieces(pieces())
	if c, err := b.ReadByte(); c != content[0] || err != nil || b.Len() != len(content)-1 {
		t.Errorf("read %d, %v, and %d are left", c, err, b.Len())
	}
	if rest := b.Bytes(); !bytes.Equal(rest, content[1:]) || b.Len() != 0 {
		t.Errorf("%d bytes were left, and %d are now", len(rest), b.Len())
	}
	held := pieces()
	b.SetPieces(held)
	if b.Release(); b.Len() != 0 || held.Len() != 0 || len(held.list) != 0 {
		t.Error("it still refers to memory that is not its own any more")
	}
	held.Release()
	b.SetPieces(nil)
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("no pieces: %v", err)
	}
}

// What a compression makes of a body may lie in the memory of the body.
func TestABodyIsReplaced(t *testing.T) {
	pool := new(Pool)
	p := &Pieces{pool: pool}
	if err := p.read(bytes.NewReader(pattern(pieceSize)), pieceSize, pieceSize); err != nil {
		t.Fatal(err)
	}
	var b Body
	b.SetPieces(p)
	b.Replace(b.Bytes()[1:100])
	if other := pool.Get(pieceSize)[:100]; &other[0] == &p.list[0][0] {
		t.Error("its memory was given up")
	}
	if b.Len() != 99 || !bytes.Equal(b.Bytes(), pattern(100)[1:]) {
		t.Error("it is another body")
	}
	b.Release()
}

// Large writes do not copy again and again what was written before.
func TestBufferGrows(t *testing.T) {
	p := pattern(copyAtOnce + 1)
	allocs := testing.AllocsPerRun(1, func() {
		var b Buffer
		for range 200 {
			_, _ = b.Write(p)
		}
	})
	if allocs > 20 {
		t.Errorf("200 writes took %v times memory", allocs)
	}
}

func TestBuffer(t *testing.T) {
	var b Buffer
	var w Writer = &b
	_, _ = w.Write([]byte("ab"))
	_ = w.WriteByte('c')
	_, _ = w.WriteString("de")
	if string(b.B) != "abcde" {
		t.Errorf("it holds %q", b.B)
	}
	before := &b.B[0]
	b.Reset()
	if len(b.B) != 0 || &b.B[:1][0] != before {
		t.Error("a small buffer is not used again")
	}
	large := pattern(3*copyAtOnce + 5)
	_ = w.WriteByte('a')
	if n, err := w.Write(large); n != len(large) || err != nil || !bytes.Equal(b.B[1:], large) {
		t.Errorf("%d bytes were written, %v, and it holds %d", n, err, len(b.B))
	}
	if b.Reset(); cap(b.B) != 0 {
		t.Error("a large buffer is kept")
	}
}
