package browsertest

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/debug/browsertest/shop"
)

// The numbers change while one looks, and the page is not loaded again.
func TestThePageIsLive(t *testing.T) {
	s := serve(t)
	s.order(3)
	s.deliver()
	b := open(t, s.url)
	b.do(chromedp.Evaluate[chromedp.Void]("window.before = true"))
	succeeded := cell("commands", "shop.Order", "Succeeded")
	b.until(succeeded + " === '3'")
	s.order(4)
	b.until(succeeded + " === '7'")
	s.refund("out of stock")
	b.until(cell("failures", "shop.Refund", "Text") + " === 'out of stock'")
	b.until("/^[0-9.]+ (ms|s)$/.test(" + cell("oldest", "shop.Deliver", "Age") + ")")
	age := eval[string](b, cell("oldest", "shop.Deliver", "Age"))
	b.until(cell("oldest", "shop.Deliver", "Age") + " !== " + strconv.Quote(age))
	if !eval[bool](b, "window.before === true && performance.getEntriesByType('navigation')[0].type === 'navigate'") {
		t.Error("the page was loaded again")
	}
	text := eval[string](b, "document.body.innerText")
	for _, want := range []string{"live", "Server shop", "Client till", "127.0.0.1:", "connected"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not show %q:\n%s", want, text)
		}
	}
	if n := eval[int](b, "document.querySelectorAll('#commands rect.bar').length"); n < 2 {
		t.Errorf("the histograms have %d bars", n)
	}
	if path := eval[string](b, "document.querySelector('#commands path.area').getAttribute('d')"); len(path) < 300 {
		t.Errorf("the rate is drawn by %s", path)
	}
}

// What peers say is text, whatever it looks like.
func TestHostileTexts(t *testing.T) {
	s := serve(t)
	const hostile = `"><img src=x onerror="window.harm=1"><script>window.harm=1</script>&lt;b&gt;`
	s.refund(hostile)
	s.refund("\u202e" + "\x00\n</script>" + strings.Repeat("long", 100))
	if _, err := cmdstream.Do(t.Context(), s.c, shop.Look[shop.Hostile]{}); err != nil {
		t.Fatal(err)
	}
	b := open(t, s.url)
	b.until("Array.from(document.querySelectorAll('#failures td')).some((td) => td.textContent === " + strconv.Quote(hostile) + ")")
	b.until("Array.from(document.querySelectorAll('#commands th')).some((th) => th.textContent.includes('<img src=x onerror='))")
	time.Sleep(100 * time.Millisecond) // what would load an image
	if eval[bool](b, "window.harm === 1 || document.querySelectorAll('img, body script:not(:last-of-type)').length > 0") {
		t.Error("a peer's text became HTML")
	}
	// And were it to, the policy would not run it.
	b.do(chromedp.Evaluate[chromedp.Void](`{
		const script = document.createElement("script");
		script.textContent = "window.harm = 1";
		document.body.append(script);
		const image = document.createElement("img");
		image.src = "other.png";
		document.body.append(image);
	}`))
	time.Sleep(100 * time.Millisecond)
	if eval[bool](b, "window.harm === 1") {
		t.Error("the policy runs any script")
	}
	if troubles := b.forgive(); len(troubles) != 2 {
		t.Errorf("the policy stopped %q", troubles)
	}
}

// On a phone nothing is cut off, and nothing needs to be scrolled sideways.
func TestAPhone(t *testing.T) {
	s := serve(t)
	s.order(5)
	s.deliver()
	s.refund("no such " + strings.Repeat("article", 30))
	for range 3 {
		s.refund("<" + strings.Repeat("x", 255))
	}
	backgrounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		b := open(
			t, s.url, chromedp.EmulateViewport(360, 740, chromedp.EmulateScale(2), chromedp.EmulateMobile),
			send(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			}),
		)
		b.until(cell("commands", "shop.Order", "Succeeded") + " === '5'")
		if width := eval[int](b, "document.documentElement.scrollWidth"); width > 360 {
			t.Errorf("%s: the page is %d pixels wide", scheme, width)
		}
		outside := eval[[]string](b, `Array.from(document.querySelectorAll("main *, header *")).filter((e) => {
			const box = e.getBoundingClientRect();
			return !e.closest("thead") && box.width > 0 && (box.right > 360.5 || box.left < -0.5);
		}).map((e) => e.outerHTML.slice(0, 200))`)
		if len(outside) > 0 {
			t.Errorf("%s: outside of the screen: %q", scheme, outside)
		}
		if small := eval[float64](b, `Math.min(...Array.from(document.querySelectorAll("td, th, p, dd, dt, caption"), (e) => parseFloat(getComputedStyle(e).fontSize)))`); small < 11 {
			t.Errorf("%s: text of %v pixels", scheme, small)
		}
		if tall := eval[float64](b, `document.getElementById("pause").getBoundingClientRect().height`); tall < 36 {
			t.Errorf("%s: the button is %v pixels tall", scheme, tall)
		}
		for _, colors := range eval[[][]string](b, `Array.from(document.querySelectorAll("td, th, dt, dd, caption, #status, h1, button"), (e) => {
			let back = e;
			while (back && getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)") back = back.parentElement;
			return [getComputedStyle(e).color, getComputedStyle(back).backgroundColor, e.outerHTML.slice(0, 100)];
		})`) {
			if c := contrast(t, colors[0], colors[1]); c < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.1f: %s", scheme, colors[0], colors[1], c, colors[2])
				break
			}
		}
		backgrounds[eval[string](b, "getComputedStyle(document.body).backgroundColor")] = true
	}
	if len(backgrounds) != 2 {
		t.Errorf("light and dark look the same: %v", backgrounds)
	}
}

// contrast is that of two colors, by the definition of WCAG 2.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

var rgb = regexp.MustCompile(`^rgb\((\d+), (\d+), (\d+)\)$`)

// A reader of the screen is told what a table is about, what its cells are, and what is
// drawn, also where cells are stacked.
func TestTablesCanBeReadAloud(t *testing.T) {
	s := serve(t)
	s.order(1)
	s.refund("sold")
	s.deliver()
	for _, width := range []int64{360, 1200} {
		b := open(t, s.url, chromedp.EmulateViewport(width, 740))
		b.until(cell("commands", "shop.Order", "Succeeded") + " === '1'")
		wrong := eval[[]string](b, `[
			...Array.from(document.querySelectorAll("table"), (t) => t.caption?.textContent && t.getAttribute("role") === "table" ? "" : "a table without caption"),
			...Array.from(document.querySelectorAll("thead th"), (h) => h.scope === "col" && h.textContent ? "" : "a heading: " + h.outerHTML),
			...Array.from(document.querySelectorAll("tbody tr"), (r) => r.firstChild.scope === "row" && r.children.length === r.closest("table").tHead.rows[0].cells.length ? "" : "a row: " + r.outerHTML),
			...Array.from(document.querySelectorAll("tbody td"), (c) => c.getAttribute("role") === "cell" && c.dataset.label ? "" : "a cell: " + c.outerHTML),
			...Array.from(document.querySelectorAll("svg"), (d) => d.getAttribute("role") === "img" && d.getAttribute("aria-label") ? "" : "a drawing: " + d.outerHTML),
			document.documentElement.lang === "en" ? "" : "no language",
		].filter((text) => text)`)
		if len(wrong) > 0 {
			t.Errorf("%d pixels wide: %q", width, wrong)
		}
	}
}

// Nobody is asked for a page at which nobody looks, or that is to stand still.
func TestAPageThatRests(t *testing.T) {
	s := serve(t)
	s.order(1)
	b := open(t, s.url)
	succeeded := cell("commands", "shop.Order", "Succeeded")
	for name, toggle := range map[string]string{
		"hidden": `window.away = !window.away;
			Object.defineProperty(document, "hidden", { value: window.away, configurable: true });
			document.dispatchEvent(new Event("visibilitychange"));`,
		"paused": `document.getElementById("pause").click()`,
	} {
		b.until("document.getElementById('status').textContent === 'live'")
		b.do(chromedp.Evaluate[chromedp.Void](toggle))
		time.Sleep(200 * time.Millisecond) // for a request that is under way
		before, text := b.asked(), eval[string](b, succeeded)
		s.order(1)
		time.Sleep(2500 * time.Millisecond)
		if n := b.asked() - before; n > 0 || eval[string](b, succeeded) != text {
			t.Errorf("%s, and it has asked %d times", name, n)
		}
		if name == "paused" && !eval[bool](b, "document.getElementById('status').textContent === 'paused' && document.getElementById('pause').getAttribute('aria-pressed') === 'true'") {
			t.Error("it does not say that it is paused")
		}
		b.do(chromedp.Evaluate[chromedp.Void](toggle))
		b.until(succeeded + " !== " + strconv.Quote(text))
	}
}

// A page whose process has gone says so, keeps what it had, and goes on when it is back.
func TestAServerThatGoes(t *testing.T) {
	s := serve(t)
	s.order(2)
	b := open(t, s.url)
	b.until(cell("commands", "shop.Order", "Succeeded") + " === '2'")
	s.web.CloseClientConnections()
	addr := s.web.Listener.Addr().String()
	s.web.Close()
	b.until("document.getElementById('status').textContent.startsWith('not up to date')")
	if got := eval[string](b, cell("commands", "shop.Order", "Succeeded")); got != "2" {
		t.Errorf("it shows %q", got)
	}
	s.back(addr)
	s.order(1)
	b.until(cell("commands", "shop.Order", "Succeeded") + " === '3'")
	b.until("document.getElementById('status').textContent === 'live'")
	for _, trouble := range b.forgive() {
		if !strings.Contains(trouble, "ERR_CONNECTION_REFUSED") && !strings.Contains(trouble, "ERR_EMPTY_RESPONSE") && !strings.Contains(trouble, "ERR_CONNECTION_RESET") {
			t.Errorf("the browser's console: %s", trouble)
		}
	}
}

var picture = flag.Bool("picture", false, "write docs/debug.png")

// The picture in the guide is of this page, and small.
func TestPicture(t *testing.T) {
	const path, most = "../../docs/debug.png", 200 << 10
	if *picture {
		s := serve(t)
		var working sync.WaitGroup
		working.Go(func() { s.work(70 * time.Second) })
		defer working.Wait()
		time.Sleep(62 * time.Second)
		s.deliver()
		b := open(t, s.url, chromedp.EmulateViewport(1000, 900))
		b.until(cell("oldest", "shop.Deliver", "Age") + ".endsWith(' s')")
		image, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, image, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := png.DecodeConfig(bytes.NewReader(image))
	if err != nil || conf.Width != 1000 || len(image) > most {
		t.Errorf("the picture is %d pixels wide and has %d bytes: %v", conf.Width, len(image), err)
	}
	guide, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), "](debug.png)") {
		t.Error("the guide does not show the picture")
	}
}
