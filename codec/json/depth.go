package json

import "bytes"

// deeper tells whether data nests arrays and objects deeper than limit. Data
// that is no valid JSON may be told either way: the decoder refuses it anyhow.
func deeper(data []byte, limit int) bool {
	// Nearly all data has fewer brackets than it may have levels.
	if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) <= limit {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++ // the next one is escaped, and ends no string
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			if depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
