// Package top watches a program in a terminal, by what its debug page says as JSON.
//
//	page, err := top.NewPage("localhost:8080", remote.Security{})
//	first, err := page.Snapshot(ctx)
//	err = top.Show(ctx, page, first, time.Second, os.Stdin, os.Stdout, os.Environ())
package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/debug"
)

const (
	// pageTime bounds one question.
	pageTime = 5 * time.Second
	// maxPage is how many bytes of an answer are read.
	maxPage = 64 << 20
)

// Page is a debug page. It may be used by many goroutines at once.
type Page struct {
	url    string
	client http.Client
}

// NewPage returns the page of an address: HOST:PORT, or a URL, whose path is debug.Path
// where it has none. A URL of https speaks TLS, and so does HOST:PORT if security says
// so. An error is of the command line.
func NewPage(addr string, security remote.Security) (*Page, error) {
	if !strings.Contains(addr, "://") {
		if err := remote.CheckAddr(addr); err != nil {
			return nil, &remote.UsageError{Err: err}
		}
		scheme := "http://"
		if security.TLS {
			scheme = "https://"
		}
		addr = scheme + addr
	}
	parsed, err := url.Parse(addr)
	switch {
	case err != nil:
		return nil, &remote.UsageError{Err: fmt.Errorf("%q is no URL: %w", addr, err)}
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return nil, &remote.UsageError{Err: fmt.Errorf("%q is no URL of a debug page: it begins with http:// or https://", addr)}
	case parsed.Hostname() == "":
		return nil, &remote.UsageError{Err: fmt.Errorf("%q is no URL of a debug page: it lacks the host, as in %s://localhost:8080", addr, parsed.Scheme)}
	case security.TLS && parsed.Scheme == "http":
		return nil, &remote.UsageError{Err: errors.New("--tls goes with https://, or with HOST:PORT")}
	}
	if err := security.Check(parsed.Scheme == "https"); err != nil {
		return nil, &remote.UsageError{Err: err}
	}
	conf, err := security.Config()
	if err != nil {
		return nil, err
	}
	if parsed.Path == "" || parsed.Path == "/" {
		parsed.Path = debug.Path
	}
	query := parsed.Query()
	query.Set("format", "json")
	parsed.RawQuery = query.Encode()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = conf
	return &Page{parsed.String(), http.Client{Transport: transport, Timeout: pageTime}}, nil
}

// Close lets go of the connections.
func (p *Page) Close() { p.client.CloseIdleConnections() }

// Snapshot asks the page. An error is a *remote.ConnectError, or ctx's.
func (p *Page) Snapshot(ctx context.Context) (*debug.Snapshot, error) {
	snapshot, err := p.get(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		shown, _, _ := strings.Cut(p.url, "?")
		return nil, &remote.ConnectError{What: "no debug page at", Addr: shown, Err: err}
	}
	return snapshot, nil
}

func (p *Page) get(ctx context.Context) (*debug.Snapshot, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := p.client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the URL, which is told anyway
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("the connection was closed without an answer: does it speak HTTP there?")
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s: is the page mounted there?", answer.Status)
	}
	if media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, fmt.Errorf("the answer is %.64q, and no JSON: is something else there?", answer.Header.Get("Content-Type"))
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxPage+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case len(text) > maxPage:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxPage)
	}
	var snapshot debug.Snapshot
	if err := json.Unmarshal(text, &snapshot); err != nil {
		return nil, fmt.Errorf("the answer can't be read: %w", err)
	}
	if snapshot.Version != debug.Version {
		return nil, fmt.Errorf("the answer is no snapshot of version %d, but %d", debug.Version, snapshot.Version)
	}
	return &snapshot, nil
}
