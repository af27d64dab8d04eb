package debug_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/debug"
)

func ask(page *debug.Page, method, query string) *http.Response {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, debug.Path, nil)
	r.URL.RawQuery = query
	page.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, answer *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRequestsThatAreRefused(t *testing.T) {
	page := debug.New()
	for _, test := range []struct {
		method, query string
		status        int
		text          string
	}{
		{"POST", "", 405, "ask by GET"},
		{"PUT", "format=json", 405, "ask by GET"},
		{"DELETE", "", 405, "ask by GET"},
		{"OPTIONS", "", 405, "ask by GET"},
		{"GET", "format=xml", 400, `unknown format "xml": there are html and json`},
		{"GET", "format=JSON", 400, `unknown format "JSON"`},
		{"GET", "format=" + strings.Repeat("x", 200), 400, `unknown format "x`},
		{"GET", "format=<script>", 400, `unknown format "<script>"`},
		{"GET", "format=json&format=html", 400, "one format"},
		{"GET", "fromat=json", 400, `"fromat"`},
		{"GET", "format=%zz", 400, "can't be read"},
		{"GET", "format=json&" + strings.Repeat("x", 1<<20), 414, "the limit is 256"},
		{"POST", strings.Repeat("x", 1<<20), 405, "ask by GET"},
	} {
		answer := ask(page, test.method, test.query)
		text := body(t, answer)
		if answer.StatusCode != test.status || !strings.Contains(text, test.text) {
			t.Errorf("%s ?%.40s: %d %q", test.method, test.query, answer.StatusCode, text)
		}
		if strings.Count(text, "\n") != 1 || len(text) > 200 {
			t.Errorf("%s ?%.40s: no clear line, but %q", test.method, test.query, text)
		}
		if allow := answer.Header.Get("Allow"); (allow == "GET, HEAD") != (test.status == 405) {
			t.Errorf("%s: allowed is %q", test.method, allow)
		}
		checkHeaders(t, answer, "text/plain; charset=utf-8")
	}
}

func checkHeaders(t *testing.T, answer *http.Response, contentType string) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type": contentType, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	policy := answer.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; connect-src 'self';") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
}

// The page is one file, and its policy lets run what is in it and nothing else.
func TestThePage(t *testing.T) {
	page := debug.New()
	for _, query := range []string{"", "format=html", "format="} {
		answer := ask(page, "GET", query)
		html := body(t, answer)
		if answer.StatusCode != 200 {
			t.Errorf("?%s: %s", query, answer.Status)
		}
		checkHeaders(t, answer, "text/html; charset=utf-8")
		policy := answer.Header.Get("Content-Security-Policy")
		for _, element := range []string{"script", "style"} {
			found := regexp.MustCompile(`(?s)<`+element+`[^>]*>(.*?)</`+element+`>`).FindAllStringSubmatch(html, -1)
			if len(found) != 1 {
				t.Fatalf("there are %d elements %s", len(found), element)
			}
			sum := sha256.Sum256([]byte(found[0][1]))
			if want := element + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
				t.Errorf("the policy %q lacks %q", policy, want)
			}
		}
		for _, reference := range regexp.MustCompile(`(?i)(?:src|href|url)\s*[=(]\s*["']?[^"'\s>)]*|@import|https?://[^"]*`).FindAllString(html, -1) {
			if reference != `href="data:,` && reference != `href="?format=json` && reference != "http://www.w3.org/2000/svg" {
				t.Errorf("the page refers to %s", reference)
			}
		}
		for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("} {
			if strings.Contains(html, way) {
				t.Errorf("the page makes code of text, by %s", way)
			}
		}
	}
}

func TestHead(t *testing.T) {
	web := httptest.NewServer(debug.New())
	defer web.Close()
	for _, query := range []string{"", "?format=json"} {
		answer, err := web.Client().Head(web.URL + query)
		if err != nil {
			t.Fatal(err)
		}
		if text := body(t, answer); answer.StatusCode != 200 || text != "" {
			t.Errorf("%q: %s, %q", query, answer.Status, text)
		}
	}
}

// The JSON is a Snapshot, and no list in it is null.
func TestTheJSON(t *testing.T) {
	page := debug.New()
	answer := ask(page, "GET", "format=json")
	checkHeaders(t, answer, "application/json")
	if text := body(t, answer); !strings.Contains(text, `"servers":[],"clients":[],"commands":[],"in_flight":0,"oldest":[]}`) {
		t.Errorf("of nothing there is %s", text)
	}
	bubble(t, func(t *testing.T) {
		page := debug.New()
		c, conn := connect(t, page, World{})
		stop := page.WatchClient("c", conn)
		defer stop()
		if _, err := c.Do(t.Context(), base.Unary[World, string, Work]{}); err != nil {
			t.Fatal(err)
		}
		text := body(t, ask(page, "GET", "format=json"))
		if strings.Contains(text, "null") {
			t.Errorf("it has a null: %s", text)
		}
		var got debug.Snapshot
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&got); err != nil || got.Version != debug.Version || len(got.Commands) == 0 || got.Clients[0].Name != "c" {
			t.Errorf("it is %+v: %v", got, err)
		}
	})
}

// Whoever reads the JSON counts on the names in it.
func TestTheNamesInTheJSON(t *testing.T) {
	conn := debug.ConnInfo{Principal: "p", Session: "s", Held: 1, Leaving: true}
	b, err := json.Marshal(debug.Snapshot{
		Servers:  []debug.ServerInfo{{Connections: []debug.ConnInfo{conn}}},
		Clients:  []debug.ClientInfo{{Error: "e"}},
		Commands: []debug.CommandInfo{{Latency: debug.Latency{Buckets: []debug.Bucket{{}}}, Failures: []debug.FailureInfo{{Code: "c", Remote: "r", Seq: 1}}}},
		Oldest:   []debug.RunningInfo{{Remote: "r", Seq: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Join(regexp.MustCompile(`"[a-z0-9_]+":`).FindAllString(string(b), -1), "")
	const want = `"version":"time":"since":` +
		`"servers":"name":"stats":"connections":"remote":"since":"principal":"session":"in_flight":"received_bytes":"held_bytes":"leaving":` +
		`"clients":"name":"state":"error":"stats":"connections":` +
		`"commands":"name":"side":"in_flight":"succeeded":"failed":"per_second":"failed_per_second":` +
		`"latency":"p50_ns":"p90_ns":"p99_ns":"p999_ns":"max_ns":"buckets":"below_ns":"count":` +
		`"failures":"time":"text":"code":"outcome":"remote":"seq":` +
		`"in_flight":"oldest":"name":"side":"age_ns":"remote":"seq":`
	if names != want {
		t.Errorf("the names are\n%s\nwant\n%s", names, want)
	}
}

var errLost = errors.New("lost")
