package codec_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/frugal"
)

// brokenReader is a connection that is lost after some bytes.
type brokenReader struct{ io.Reader }

func (r brokenReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrClosedPipe
	}
	return n, err
}

func TestTheReaderFails(t *testing.T) {
	set := jsonSet()
	const command, result = "\x01\x0d" + `{"A":1,"B":2}`, "\x03" + "42"
	decode := map[string]func(r *bufio.Reader) error{
		command: func(r *bufio.Reader) error { _, err := set.Server().Decode(r); return err },
		result:  func(r *bufio.Reader) error { _, err := set.Client().DecodeFor(unary(add{}), r); return err },
	}
	for whole, decode := range decode {
		for length := range len(whole) {
			cut := strings.NewReader(whole[:length])
			if err := decode(bufio.NewReader(cut)); !errors.Is(err, io.ErrUnexpectedEOF) || base.OutcomeOf(err) != base.Unknown {
				t.Errorf("%q, cut: got %v", whole[:length], err)
			}
			cut = strings.NewReader(whole[:length])
			if err := decode(bufio.NewReader(brokenReader{cut})); !errors.Is(err, io.ErrClosedPipe) || base.OutcomeOf(err) != base.Unknown {
				t.Errorf("%q, broken: got %v", whole[:length], err)
			}
		}
		if err := decode(bufio.NewReader(strings.NewReader(whole))); err != nil {
			t.Errorf("%q: got %v", whole, err)
		}
	}
}

// A length is only a claim: memory is taken for what has arrived.
func TestALengthAloneTakesLittleMemory(t *testing.T) {
	server := jsonSet().Server()
	wire := "\x01" + number(60<<20) + strings.Repeat(" ", 300_000)
	var err error
	frugal.Check(t, 4<<20, func() { _, err = server.Decode(strings.NewReader(wire)) })
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", err)
	}
}
