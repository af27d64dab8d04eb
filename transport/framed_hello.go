package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

func (f *framed) AppendHello(dst []byte, h *Hello) ([]byte, error) {
	if f.server {
		f.compressed = h.Compression != 0
		return wire.AppendServerHello(dst, wire.ServerHello{
			Status: wire.Status(h.Status), RetryAfter: milliseconds(h.RetryAfter), Text: h.Text,
			Info:       h.Info,
			MaxCmdSize: uint64(h.Settings.MaxCmdSize), MaxInFlight: uint64(h.Settings.MaxInFlight),
			SessionTime: milliseconds(h.SessionTime), Compression: h.Compression, Catalogue: h.Catalogue,
		})
	}
	return wire.AppendClientHello(dst, wire.ClientHello{
		Info: h.Info, MaxResultSize: uint64(h.MaxResultSize),
		Session: h.Session, Credentials: h.Credentials, Compressions: h.Compressions,
	})
}

func (f *framed) ReadHello(r *bufio.Reader, h *Hello) error {
	version, length, err := readPrefix(r)
	if err != nil {
		return err
	}
	if version != wire.Version && f.server {
		// The form of the hello is what all versions share, so the client can be told.
		h.Status = Version
		h.Text = fmt.Sprintf("the server speaks version %d of the protocol, the client version %d", wire.Version, version)
		return nil
	}
	fields := make([]byte, length)
	if _, err := io.ReadFull(r, fields); err != nil {
		return unexpected(err)
	}
	if f.server {
		return f.parseClientHello(fields, h)
	}
	hello, err := wire.ParseServerHello(fields)
	if err != nil {
		return err
	}
	if version != wire.Version && hello.Status == wire.StatusOK {
		return &base.Error{
			Outcome: base.NotSent, Code: base.ErrVersion,
			Message: fmt.Sprintf("the server speaks version %d of the protocol, this client version %d", version, wire.Version),
		}
	}
	*h = Hello{
		Info:   hello.Info,
		Status: Status(hello.Status), RetryAfter: duration(hello.RetryAfter), Text: hello.Text,
		Settings:    ServerSettings{MaxCmdSize: toInt(hello.MaxCmdSize), MaxInFlight: toInt(hello.MaxInFlight)},
		SessionTime: duration(hello.SessionTime), Compression: hello.Compression,
		Catalogue: hello.Catalogue,
	}
	f.compressed = h.Compression != 0
	f.maxSlots = min(f.maxSlots, uint64(h.Settings.WithDefaults().MaxInFlight))
	return nil
}

func (f *framed) parseClientHello(fields []byte, h *Hello) error {
	hello, err := wire.ParseClientHello(fields)
	if err != nil {
		return err
	}
	*h = Hello{
		Info: hello.Info, MaxResultSize: toInt(hello.MaxResultSize),
		Session: hello.Session, Credentials: hello.Credentials, Compressions: hello.Compressions,
	}
	return nil
}

// readPrefix reads the opening of a hello, and names a foreign peer by as much
// as it has said.
func readPrefix(r *bufio.Reader) (version byte, length int, err error) {
	for {
		b, _ := r.Peek(r.Buffered())
		version, length, n, err := wire.ParsePrefix(b)
		if err == nil {
			_, err = r.Discard(n)
			return version, length, err
		}
		if !errors.Is(err, wire.ErrShort) {
			return 0, 0, err
		}
		if _, err := r.Peek(len(b) + 1); err != nil {
			if len(b) > 0 {
				err = unexpected(err)
			}
			return 0, 0, err
		}
	}
}

func toInt(v uint64) int { return int(min(v, math.MaxInt32)) }
