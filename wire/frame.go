package wire

import "encoding/binary"

// Kind is the kind of a frame.
type Kind uint8

// The kinds of frames.
const (
	KindPing Kind = iota // one zero byte: ping and pong
	KindCommand
	KindResult
	KindFailure
	KindCancel
	KindCredit
	KindInput
	KindAck
	KindResume
	KindGoaway
	kindEnd
)

var kindNames = [...]string{
	"ping", "command", "result", "failure", "cancel",
	"credit", "input", "ack", "resume", "goaway",
}

// String returns the kind's name.
func (k Kind) String() string {
	if k < kindEnd {
		return kindNames[k]
	}
	return "unknown kind"
}

// Flags of a frame. Which kinds know which is in flagsOf.
type Flags uint8

// The flags.
const (
	// FlagMore: the body goes on in a further frame of this kind and slot.
	FlagMore Flags = 1 << iota
	// FlagExtras: the payload opens with extras. Only in a command's first frame.
	FlagExtras
	// FlagLast: the command has ended with this result, no input follows this
	// one, or the list of slots ends here.
	FlagLast
	// FlagCompressed: the body is compressed. Only in its first frame.
	FlagCompressed
)

var flagsOf = [kindEnd]Flags{
	KindCommand: FlagMore | FlagExtras | FlagCompressed,
	KindResult:  FlagMore | FlagLast | FlagCompressed,
	KindInput:   FlagMore | FlagLast | FlagCompressed,
	KindResume:  FlagLast,
}

// Header opens every frame but ping and pong.
type Header struct {
	Kind  Kind
	Flags Flags
	// Slot names the command; 0 where the kind has none.
	Slot uint64
	// Length is the size of the payload.
	Length int
}

// AppendHeader appends h, and may write to up to four bytes more of dst's capacity. A ping has no
// header: it is the byte Ping.
func AppendHeader(dst []byte, h Header) []byte {
	first := byte(h.Kind)<<4 | byte(h.Flags)
	switch { // the first two are nearly all
	case h.Slot < 0x80 && uint(h.Length) < 0x80:
		return append(dst, first, byte(h.Slot), byte(h.Length))
	case h.Slot < shortEnd && uint(h.Length) < shortEnd:
		slot, n := shortUvarint(h.Slot)
		length, m := shortUvarint(uint64(h.Length))
		word := uint64(first) | slot<<8 | length<<(8+8*n)
		return binary.LittleEndian.AppendUint64(dst, word)[:len(dst)+1+n+m]
	}
	dst = append(dst, first)
	dst = AppendUvarint(dst, h.Slot)
	return AppendUvarint(dst, uint64(h.Length))
}

// ParseHeader reads a header, or the byte of a ping, and returns how many bytes
// it took. ErrShort asks for more of them, MaxHeader at most.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return h, 0, ErrShort
	}
	if b[0] == Ping {
		return h, 1, nil
	}
	h.Kind, h.Flags = Kind(b[0]>>4), Flags(b[0]&0xf)
	if h.Kind == KindPing || h.Kind >= kindEnd {
		return h, 0, broken("a frame opens with byte %#02x: unknown kind", b[0])
	}
	if h.Flags&^flagsOf[h.Kind] != 0 {
		return h, 0, broken("a frame of kind %s has flags %#x that it can't have", h.Kind, uint8(h.Flags))
	}
	switch { // the first two are nearly all
	case len(b) >= 3 && b[1] < 0x80 && b[2] < 0x80:
		h.Slot, h.Length = uint64(b[1]), int(b[2])
		return h, 3, nil
	case len(b) >= 1+2*shortSize:
		slot, n := parseShortUvarint(b[1], b[2])
		length, m := parseShortUvarint(b[1+n], b[2+n])
		if n > 0 && m > 0 {
			h.Slot, h.Length = slot, int(length)
			return h, 1 + n + m, nil
		}
	}
	slot, n, err := ParseUvarint(b[1:])
	if err != nil {
		return h, 0, err
	}
	length, m, err := ParseUvarint(b[1+n:])
	if err != nil {
		return h, 0, err
	}
	if length > MaxPayload {
		return h, 0, broken("a frame of kind %s has %d bytes, the limit is %d", h.Kind, length, MaxPayload)
	}
	h.Slot, h.Length = slot, int(length)
	return h, 1 + n + m, nil
}
