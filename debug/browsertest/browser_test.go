package browsertest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/cmdstream/cmdstream/internal/leak"
)

// patience is for a machine that has more to do.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	leak.Main(m)
}

// browser finds Chromium, under the names by which it is installed.
var browser = sync.OnceValue(func() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
})

// need returns the browser, or ends the test. Where everything is tested it has to be there.
func need(t *testing.T) string {
	t.Helper()
	path := browser()
	const text = "there is no Chromium here, so the page is not tested in a browser: apt-get install chromium brings it"
	switch {
	case path == "" && os.Getenv("CI") != "":
		t.Fatal(text)
	case path == "":
		t.Skip(text)
	}
	return path
}

// tab is a page in a browser of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex // protects what follows
	requests []string   // URLs
	troubles []string   // what the console said, and what was thrown
}

// open starts a browser and opens a page in it. What it asks another host for, and what its
// console has to say, fails the test.
func open(t *testing.T, address string, prepare ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	path := need(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	for _, enable := range []chromedp.Action[chromedp.Void]{send(network.Enable, network.EnableParams{}), send(log.Enable, cdp.Empty{}), send(runtime.Enable, cdp.Empty{})} {
		b.do(enable)
	}
	b.do(prepare...)
	b.do(chromedp.Navigate(address))
	t.Cleanup(func() { b.check(address) })
	return b
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		b.troubles = append(b.troubles, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.troubles = append(b.troubles, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		b.troubles = append(b.troubles, e.Entry.Text)
	}
}

// forgive forgets what was in the console so far: the test has provoked it.
func (b *tab) forgive() (troubles []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	troubles, b.troubles = b.troubles, nil
	return troubles
}

// asked returns how many requests there were.
func (b *tab) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.requests)
}

func (b *tab) check(address string) {
	own, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, trouble := range b.forgive() {
		b.t.Errorf("the browser's console: %s", trouble)
	}
	if b.asked() == 0 {
		b.t.Error("no request was seen")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, request := range b.requests {
		to, err := url.Parse(request)
		if err != nil || to.Scheme != "data" && to.Host != own.Host {
			b.t.Errorf("the page asked for %s", request)
		}
	}
}

// send is a command of the protocol as an action.
func send[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// eval returns the value of a JavaScript expression in the page.
func eval[V any](b *tab, expression string) (v V) {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[V](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (b *tab) until(expression string) {
	b.t.Helper()
	for !eval[bool](b, expression) {
		time.Sleep(20 * time.Millisecond)
	}
}

// cell is an expression for the text of a cell, by the beginning of its row and the name of
// its column.
func cell(table, row, column string) string {
	return fmt.Sprintf("(Array.from(document.querySelectorAll(%q)).find((r) => r.innerText.startsWith(%q) || r.textContent.startsWith(%q))?.querySelector(%q)?.textContent ?? '')",
		"#"+table+" tbody tr", row, row, fmt.Sprintf("[data-label=%q]", column))
}
