// Package browsertest tests the page of package debug in a real browser, headless Chromium,
// and makes the picture of it that stands in the guide:
//
//	go test ./debug/browsertest -run TestPicture -picture
//
// Where there is no Chromium its tests are skipped, and say so.
package browsertest
