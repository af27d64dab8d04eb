module github.com/cmdstream/cmdstream/debug/browsertest

go 1.26.0

require github.com/cmdstream/cmdstream v0.0.0

require (
	github.com/chromedp/cdproto v0.160.0
	github.com/chromedp/chromedp v0.23.0
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect

replace github.com/cmdstream/cmdstream => ../..
