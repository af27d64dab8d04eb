package remote

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is an error's text in one line, without what a terminal would take for
// something else than text: a server may have written it.
func Text(err error) string {
	text := err.Error()
	for _, prefix := range []string{"cmdstream: ", "client: "} { // the tool says so itself
		text = strings.TrimPrefix(text, prefix)
	}
	return Clean(strings.ReplaceAll(text, ": cmdstream: ", ": "))
}

// Clean replaces what is not to be printed: the ends of lines by spaces, all else by
// question marks.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.TrimSpace(text))
}

// Bytes shows opaque bytes: as they are if they are text, else in hex.
func Bytes(b []byte) string {
	text := string(b)
	if !utf8.ValidString(text) || text != Clean(text) {
		return "0x" + hex.EncodeToString(b)
	}
	return text
}
