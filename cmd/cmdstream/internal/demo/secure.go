package demo

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
)

// secure shows mutual TLS, in which each side checks the other's certificate,
// and that a client without one is sent away.
func (s *show) secure(ctx context.Context) error {
	s.title("Mutual TLS, with certificates made a moment ago")
	trusted, err := trusting(s.server.notice.Certificate)
	if err != nil {
		return err
	}
	conf := &tls.Config{ServerName: "localhost", RootCAs: trusted}
	if _, err := s.caller(ctx, conf); err == nil {
		return wrong("a client without a certificate", "an answer", "an error")
	}
	conf.Certificates = []tls.Certificate{s.certificate}
	name, err := s.caller(ctx, conf)
	if err != nil {
		return fmt.Errorf("%s by TLS: %w", written(Caller{}), err)
	}
	if name != clientName {
		return wrong(written(Caller{}), name, clientName)
	}
	s.right(2, written(Caller{}), remarked(fmt.Sprintf("%q", name), "no one else is let in"))
	return nil
}

// caller asks, over a connection of its own, who the server thinks is calling.
func (s *show) caller(ctx context.Context, conf *tls.Config) (string, error) {
	dial := client.TLS(s.server.notice.SecureBank, conf)
	c, err := client.NewReconnect(ctx, set().Client(), dial, client.Conf{Timeout: timeout, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return cmdstream.Do(ctx, c, Caller{})
}
