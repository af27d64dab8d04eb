// Package remote connects the tool to a server, as the flags of the command line say:
//
//	type infoCommand struct{ remote.Server }
//	…
//	conn, hello, err := c.Connect(ctx, remote.Conf{})
package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream/client"
)

// Server is the flags of a command that connects to a server. It is not changed once
// it was parsed, and may then be used by many goroutines.
type Server struct {
	Addr string `arg:"" help:"The server: HOST:PORT, or unix:PATH of a socket."`

	Security
	Credentials    string        `placeholder:"FILE" type:"path" group:"Connection:" help:"What the server's Authenticate wants; a newline at the end is dropped."`
	ConnectTimeout time.Duration `default:"10s" group:"Connection:" help:"How long connecting may take."`
}

// Validate holds the flags against each other. It looks at no file.
func (s Server) Validate() error {
	if s.Addr == "" { // kong has not looked for what is missing yet
		return errors.New("expected \"<addr>\": HOST:PORT or unix:PATH")
	}
	if path, unix := strings.CutPrefix(s.Addr, "unix:"); unix {
		if path == "" {
			return errors.New("unix: names no socket: say unix:PATH")
		}
		if s.TLS && s.ServerName == "" && !s.Insecure {
			return errors.New("--tls over a Unix socket needs --server-name, since the address has no host")
		}
	} else if err := CheckAddr(s.Addr); err != nil {
		return err
	}
	if s.ConnectTimeout <= 0 {
		return fmt.Errorf("--connect-timeout is %v: it must be more than 0", s.ConnectTimeout)
	}
	return s.Check(s.TLS)
}

// CheckAddr tells what is wrong with a HOST:PORT; nil: nothing.
func CheckAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return fmt.Errorf("%q is no address: say HOST:PORT or unix:PATH", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q is no address: the port is a number from 1 to 65535", addr)
	}
	return nil
}

// UsageError is an error of the command line that is found only when it is carried
// out, such as a file that is not there.
type UsageError struct{ Err error }

// Error returns the error's text.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *UsageError) Unwrap() error { return e.Err }

// dialer returns what dials the server. The error is a *UsageError.
func (s Server) dialer() (client.Dialer, error) {
	path, unix := strings.CutPrefix(s.Addr, "unix:")
	if !s.TLS {
		if unix {
			return client.Unix(path), nil
		}
		return client.TCP(s.Addr), nil
	}
	conf, err := s.Config()
	if err != nil {
		return nil, err
	}
	if !unix {
		return client.TLS(s.Addr, conf), nil
	}
	return func(ctx context.Context) (net.Conn, error) {
		nc, err := client.Unix(path)(ctx)
		if err != nil {
			return nil, err
		}
		return tls.Client(nc, conf), nil
	}, nil
}

// credentials reads those that the flags name; nil: none.
func (s Server) credentials() ([]byte, error) {
	if s.Credentials == "" {
		return nil, nil
	}
	text, err := os.ReadFile(s.Credentials)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("--credentials: %w", err)}
	}
	return []byte(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")), nil
}
