// Package leak fails tests that leave goroutines of this module behind.
package leak

import (
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// module is the path of this module. A stack names a function of its root
// package with a dot after it, and one of any other package with a slash.
const module = "github.com/cmdstream/cmdstream"

// patience is how long goroutines that are on their way out may take.
const patience = 2 * time.Second

// Main runs the tests of a package and exits, with a failure if they leave
// goroutines behind. It is called from TestMain:
//
//	func TestMain(m *testing.M) { leak.Main(m) }
func Main(m *testing.M) {
	os.Exit(MainCode(m.Run))
}

// MainCode is [Main] without the exit: it calls run and returns the exit code.
// A code other than zero is returned as it is, because goroutines left behind
// are usual after a failure and say nothing more.
func MainCode(run func() int) int {
	return mainCode(run, os.Stderr)
}

func mainCode(run func() int, output io.Writer) int {
	if code := run(); code != 0 {
		return code
	}
	leaked := wait(nil)
	if len(leaked) == 0 {
		return 0
	}
	fmt.Fprint(output, report(leaked))
	return 1
}

// Check fails t at its end if goroutines that were started after this call are
// left then. It cannot tell the goroutines of tests that run at the same time
// apart, so it is not for parallel tests.
func Check(t testing.TB) {
	t.Helper()
	before := goroutines()
	t.Cleanup(func() {
		t.Helper()
		if leaked := wait(before); len(leaked) > 0 {
			t.Error(report(leaked))
		}
	})
}

// wait returns the stacks of the goroutines of this module that are left when
// patience is over, without those in before.
func wait(before map[string]string) map[string]string {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		leaked := goroutines()
		for id := range before {
			delete(leaked, id)
		}
		if len(leaked) == 0 || !time.Now().Before(deadline) {
			return leaked
		}
		time.Sleep(pause)
	}
}

// goroutines returns the stacks of the goroutines of this module by their ids.
// It leaves out the caller's own, and those that the testing package made for
// the main function and for tests: they have an end without our doing.
func goroutines() map[string]string {
	stacks := make(map[string]string)
	// The first goroutine is the caller's.
	for _, stack := range strings.Split(allStacks(), "\n\n")[1:] {
		ours := strings.Contains(stack, module+".") || strings.Contains(stack, module+"/")
		harness := strings.Contains(stack, "\nmain.main()") || strings.Contains(stack, "\ncreated by testing.")
		if ours && !harness {
			fields := strings.Fields(stack) // goroutine 7 [running]:
			stacks[fields[1]] = stack
		}
	}
	return stacks
}

// allStacks returns the stacks of all goroutines, an empty line between them.
func allStacks() string {
	for size := 64 << 10; ; size *= 2 {
		buffer := make([]byte, size)
		if n := runtime.Stack(buffer, true); n < size {
			return string(buffer[:n])
		}
	}
}

func report(leaked map[string]string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "leak: %d goroutine(s) left behind\n", len(leaked))
	for _, stack := range slices.Sorted(maps.Values(leaked)) {
		fmt.Fprintf(&text, "\n%s\n", strings.TrimSpace(stack))
	}
	return text.String()
}
