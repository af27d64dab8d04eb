// Package catalogue is what a server with a set of typed commands says of them, and how it
// is asked: see "The catalogue" in docs/spec.md.
package catalogue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Tag is the tag of the command by which a server is asked. No command of a set has it.
const Tag = 0

// What is asked: the first byte of the body.
const (
	List     = 1 // for the catalogue; the result is what Append makes
	Describe = 2 // for the types, too; the result is JSON
	Call     = 3 // to run a command that is given by its name and as JSON; the results are JSON
)

// Limits of what is read.
const (
	MaxCommands = 1 << 16
	MaxName     = 1 << 10 // bytes
)

// Opening bytes of the catalogue in a hello.
const (
	here  = 1 // the list follows
	asked = 2 // it is too long for a hello: ask for it
)

// Asked is the catalogue in the hello of a server whose list is too long for it.
var Asked = []byte{asked}

// Entry is a command of the list.
type Entry struct {
	Tag  uint64
	Hash [8]byte // of how it is read
	Name string
}

// Append appends the list.
func Append(dst []byte, entries []Entry) []byte {
	dst = append(dst, here)
	for _, e := range entries {
		dst = binary.AppendUvarint(dst, e.Tag)
		dst = append(dst, e.Hash[:]...)
		dst = AppendName(dst, e.Name)
	}
	return dst
}

var errShort = errors.New("the catalogue of commands ends in the middle of one")

// Parse reads a list. ask tells that it must be asked for. A list in a form that is not
// known is as none: its server is younger.
func Parse(b []byte) (entries []Entry, ask bool, err error) {
	switch {
	case len(b) == 0 || b[0] > asked || b[0] == 0:
		return nil, false, nil
	case b[0] == asked:
		return nil, true, nil
	}
	entries = []Entry{}
	for b = b[1:]; len(b) > 0; {
		if len(entries) == MaxCommands {
			return nil, false, fmt.Errorf("the catalogue has more than %d commands", MaxCommands)
		}
		var e Entry
		if e.Tag, b, err = cutNumber(b); err != nil {
			return nil, false, err
		}
		n := copy(e.Hash[:], b)
		if n < len(e.Hash) {
			return nil, false, errShort
		}
		if e.Name, b, err = CutName(b[n:]); err != nil {
			return nil, false, err
		}
		entries = append(entries, e)
	}
	return entries, false, nil
}

// AppendName appends a name with its length before it.
func AppendName(dst []byte, name string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(name))), name...)
}

// CutName reads a name from the beginning of b.
func CutName(b []byte) (name string, rest []byte, err error) {
	n, b, err := cutNumber(b)
	switch {
	case err != nil:
		return "", nil, err
	case n > MaxName:
		return "", nil, fmt.Errorf("the name of a command has %d bytes, the limit is %d", n, MaxName)
	case n > uint64(len(b)):
		return "", nil, errShort
	case !utf8.Valid(b[:n]):
		return "", nil, errors.New("the name of a command is not UTF-8")
	}
	return string(b[:n]), b[n:], nil
}

func cutNumber(b []byte) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, errShort
	}
	return n, b[size:], nil
}
