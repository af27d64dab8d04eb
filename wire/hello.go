package wire

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Magic opens every hello.
var Magic = [4]byte{0xC5, 'c', 'm', 'd'}

// HelloPrefix is how many bytes of a hello ParsePrefix needs at most: magic,
// version and length.
const HelloPrefix = len(Magic) + 1 + 2

// ParsePrefix reads the opening of a hello: the sender's version, and the length
// of the fields that follow after n bytes. A peer that is not ours is named as
// what it looks like.
func ParsePrefix(b []byte) (version byte, length, n int, err error) {
	for i, c := range Magic {
		if i == len(b) {
			return 0, 0, 0, ErrShort
		}
		if b[i] != c {
			return 0, 0, 0, broken("the peer speaks another protocol: it looks like %s", looksLike(b))
		}
	}
	b = b[len(Magic):]
	if len(b) == 0 {
		return 0, 0, 0, ErrShort
	}
	l, m, err := ParseUvarint(b[1:])
	if errors.Is(err, ErrShort) && len(b) > 2 {
		err = broken("a hello has more bytes than the limit of %d", MaxHello)
	}
	if err != nil {
		return 0, 0, 0, err
	}
	if l > MaxHello {
		return 0, 0, 0, broken("a hello has %d bytes, the limit is %d", l, MaxHello)
	}
	return b[0], int(l), len(Magic) + 1 + m, nil
}

func looksLike(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte{0x16, 0x03}):
		return "TLS (a TLS client on a plain port?)"
	case bytes.HasPrefix(b, []byte{0x15, 0x03}):
		return "a TLS alert (a plain client on a TLS port?)"
	case bytes.HasPrefix(b, []byte("HTTP/")):
		return "an HTTP server"
	case bytes.HasPrefix(b, []byte("SSH-")):
		return "SSH"
	case bytes.HasPrefix(b, []byte("PRI * HTTP/2")):
		return "HTTP/2"
	}
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE "} {
		if bytes.HasPrefix(b, []byte(method)) || len(b) >= 3 && bytes.HasPrefix([]byte(method), b) {
			return "HTTP"
		}
	}
	if n := int(b[0]); n > 0 && n < 0x80 && len(b) > n && utf8.Valid(b[1:n+1]) {
		return "the plain wire (is only one side set to transport.Plain?)"
	}
	return fmt.Sprintf("nothing known, it opens with % x", b[:min(len(b), 8)])
}

// Tags of the fields of a hello. A field with an unknown tag is skipped; a tag
// stands at most once.
const (
	// client to server
	tagSession     = 1
	tagFeatures    = 2
	tagClientInfo  = 3
	tagCredentials = 4
	tagMaxResult   = 5
	tagCompression = 6 // in both directions
	// server to client
	tagStatus     = 1
	tagServerInfo = 3
	tagSettings   = 4
	tagCatalogue  = 5
	// inside the settings
	tagMaxCmdSize  = 1
	tagMaxInFlight = 2
	tagSessionTime = 3
)

// ClientHello is what a client says first.
type ClientHello struct {
	// Session is the session that the client opens or resumes; nil: none.
	Session *Session
	// Features is a set of bits; none is defined yet.
	Features uint64
	// Info is opaque: the user's.
	Info []byte
	// Credentials are opaque, MaxCredentials bytes at most.
	Credentials []byte
	// MaxResultSize is the largest result that the client takes; 0: not said.
	MaxResultSize uint64
	// Compressions are those that the client takes, best first.
	Compressions []uint64
}

// Status is the server's answer to a hello.
type Status uint8

// The statuses of version 1.
const (
	StatusOK Status = iota
	StatusFull
	StatusDraining
	StatusVersion
	StatusUnauthorized
	StatusStaleEpoch
	StatusSessionLost
	StatusRefused // for a reason that only its text says
)

// ServerHello is what a server answers.
type ServerHello struct {
	Status Status
	// RetryAfter is in milliseconds; 0: not said.
	RetryAfter uint64
	// Text says why a client is refused.
	Text string
	// Features is a set of bits; none is defined yet.
	Features uint64
	// Info is the ServerInfo.
	Info []byte
	// MaxCmdSize is the largest body of a command; 0: not said.
	MaxCmdSize uint64
	// MaxInFlight is how many commands may be open at once; 0: not said.
	MaxInFlight uint64
	// SessionTime is how long a session outlives its connection, in
	// milliseconds; 0: the server keeps none.
	SessionTime uint64
	// Compression is the one in use; 0: none.
	Compression uint64
	// Catalogue is opaque here: the codec's list of the server's commands.
	Catalogue []byte
}

// AppendClientHello appends h, magic and all.
func AppendClientHello(dst []byte, h ClientHello) ([]byte, error) {
	if len(h.Credentials) > MaxCredentials {
		return dst, fmt.Errorf("wire: the credentials have %d bytes, the limit is %d", len(h.Credentials), MaxCredentials)
	}
	var f []byte
	if h.Session != nil {
		f = appendBytes(f, tagSession, appendSession(nil, *h.Session))
	}
	f = appendNumber(f, tagFeatures, h.Features)
	f = appendBytes(f, tagClientInfo, h.Info)
	f = appendBytes(f, tagCredentials, h.Credentials)
	f = appendNumber(f, tagMaxResult, h.MaxResultSize)
	var compressions []byte
	for _, id := range h.Compressions {
		compressions = AppendUvarint(compressions, id)
	}
	f = appendBytes(f, tagCompression, compressions)
	return appendHello(dst, f)
}

// ParseClientHello reads the fields of a client's hello.
func ParseClientHello(b []byte) (h ClientHello, err error) {
	err = eachField(b, func(tag uint64, field []byte) (err error) {
		switch tag {
		case tagSession:
			h.Session, err = parseSession(field)
		case tagFeatures:
			h.Features, err = number(field)
		case tagClientInfo:
			h.Info = field
		case tagCredentials:
			if len(field) > MaxCredentials {
				return broken("the credentials have %d bytes, the limit is %d", len(field), MaxCredentials)
			}
			h.Credentials = field
		case tagMaxResult:
			h.MaxResultSize, err = number(field)
		case tagCompression:
			for len(field) > 0 && err == nil {
				var id uint64
				id, field, err = cutUvarint(field, "compressions")
				h.Compressions = append(h.Compressions, id)
			}
		}
		return err
	})
	return h, err
}

// AppendServerHello appends h, magic and all.
func AppendServerHello(dst []byte, h ServerHello) ([]byte, error) {
	if len(h.Info) > MaxServerInfo {
		return dst, fmt.Errorf("wire: the ServerInfo has %d bytes, the limit is %d", len(h.Info), MaxServerInfo)
	}
	status := AppendUvarint([]byte{byte(h.Status)}, h.RetryAfter)
	f := appendBytes(nil, tagStatus, append(status, cut(h.Text, MaxServerInfo)...))
	f = appendNumber(f, tagFeatures, h.Features)
	f = appendBytes(f, tagServerInfo, h.Info)
	var settings []byte
	settings = appendNumber(settings, tagMaxCmdSize, h.MaxCmdSize)
	settings = appendNumber(settings, tagMaxInFlight, h.MaxInFlight)
	settings = appendNumber(settings, tagSessionTime, h.SessionTime)
	f = appendBytes(f, tagSettings, settings)
	f = appendBytes(f, tagCatalogue, h.Catalogue)
	f = appendNumber(f, tagCompression, h.Compression)
	return appendHello(dst, f)
}

// ParseServerHello reads the fields of a server's hello.
func ParseServerHello(b []byte) (h ServerHello, err error) {
	answered := false
	err = eachField(b, func(tag uint64, field []byte) (err error) {
		switch tag {
		case tagStatus:
			if len(field) == 0 {
				return broken("a hello's status is empty")
			}
			answered = true
			h.Status = Status(field[0])
			h.RetryAfter, field, err = cutUvarint(field[1:], "retry-after")
			h.Text = string(field)
		case tagFeatures:
			h.Features, err = number(field)
		case tagServerInfo:
			if len(field) > MaxServerInfo {
				return broken("the ServerInfo has %d bytes, the limit is %d", len(field), MaxServerInfo)
			}
			h.Info = field
		case tagSettings:
			err = eachField(field, func(tag uint64, field []byte) (err error) {
				switch tag {
				case tagMaxCmdSize:
					h.MaxCmdSize, err = number(field)
				case tagMaxInFlight:
					h.MaxInFlight, err = number(field)
				case tagSessionTime:
					h.SessionTime, err = number(field)
				}
				return err
			})
		case tagCatalogue:
			h.Catalogue = field
		case tagCompression:
			h.Compression, err = number(field)
		}
		return err
	})
	if err == nil && !answered {
		err = broken("a server's hello has no status")
	}
	return h, err
}

func appendHello(dst, fields []byte) ([]byte, error) {
	if len(fields) > MaxHello {
		return dst, fmt.Errorf("wire: the hello has %d bytes, the limit is %d", len(fields), MaxHello)
	}
	dst = append(dst, Magic[:]...)
	dst = append(dst, Version)
	dst = AppendUvarint(dst, uint64(len(fields)))
	return append(dst, fields...), nil
}

// appendBytes appends a field; nothing where it is nil.
func appendBytes(dst []byte, tag uint64, field []byte) []byte {
	if field == nil {
		return dst
	}
	dst = AppendUvarint(dst, tag)
	dst = AppendUvarint(dst, uint64(len(field)))
	return append(dst, field...)
}

// appendNumber appends a field; nothing where it is 0.
func appendNumber(dst []byte, tag, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return appendBytes(dst, tag, AppendUvarint(nil, v))
}

func number(field []byte) (uint64, error) {
	v, rest, err := cutUvarint(field, "number in a hello")
	if err == nil && len(rest) != 0 {
		err = broken("a number in a hello is followed by more bytes")
	}
	return v, err
}

func eachField(b []byte, do func(tag uint64, field []byte) error) error {
	var seen [64]bool
	for len(b) > 0 {
		tag, rest, err := cutUvarint(b, "hello")
		if err != nil {
			return err
		}
		field, rest, err := cutBytes(rest, MaxHello, "field of a hello")
		if err != nil {
			return err
		}
		if tag < uint64(len(seen)) {
			if seen[tag] {
				return broken("field %d stands twice in a hello", tag)
			}
			seen[tag] = true
		}
		if err := do(tag, field); err != nil {
			return err
		}
		b = rest
	}
	return nil
}
