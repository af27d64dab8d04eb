package debug

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// maxQuery is the longest query in bytes: a page has no use for more than a format.
const maxQuery = 256

//go:embed page.html
var html string

// policy lets the page use its own script, its own style and its own server, and nothing
// else.
var policy = sync.OnceValue(func() string {
	return "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; style-src " + hash("style") + "; script-src " + hash("script")
})

// hash returns the source expression for the page's only element of a name.
func hash(element string) string {
	_, rest, _ := strings.Cut(html, "<"+element+">")
	content, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// ServeHTTP answers GET and HEAD: with the page, or with ?format=json with a [Snapshot].
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Content-Security-Policy", policy())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the debug page only shows: ask by GET", http.StatusMethodNotAllowed)
		return
	}
	format, status, err := formatOf(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	if format == "html" {
		header.Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, html)
		return
	}
	header.Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(p.Snapshot()) // an error is the connection's
}

// formatOf returns the format that a query asks for, or what is wrong with it.
func formatOf(query string) (format string, status int, err error) {
	if len(query) > maxQuery {
		return "", http.StatusRequestURITooLong, fmt.Errorf("the query has %d bytes, the limit is %d: all that can be asked for is ?format=json", len(query), maxQuery)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", http.StatusBadRequest, fmt.Errorf("the query can't be read: %w", err)
	}
	for key, all := range values {
		if key != "format" || len(all) > 1 {
			return "", http.StatusBadRequest, fmt.Errorf("the query has %d times %.64q: all that can be asked for is one format, such as ?format=json", len(all), key)
		}
	}
	switch format = values.Get("format"); format {
	case "":
		return "html", 0, nil
	case "html", "json":
		return format, 0, nil
	}
	return "", http.StatusBadRequest, fmt.Errorf("unknown format %.64q: there are html and json", format)
}
