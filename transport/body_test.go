package transport

import (
	"io"
	"testing"
	"testing/iotest"
)

func TestBody(t *testing.T) {
	if err := iotest.TestReader(&Body{B: pattern(1000)}, pattern(1000)); err != nil {
		t.Error(err)
	}
	b := &Body{B: []byte("ab")}
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
	b.B = make([]byte, 2*keepBody)
	if b.Reset(); cap(b.B) != 0 {
		t.Error("a large buffer is kept")
	}
}
