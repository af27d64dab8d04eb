// Mutants plants one small fault after another in a copy of the repository, and runs
// the tests against each: a fault that no test notices is a test that is missing. It
// is run from the root of the repository, by make:
//
//	mutants [-run REGEXP] [-j N] [-list]
//
// First the suites must pass without any fault. Then, for each fault, it prints the test
// that has noticed it first. The suites of cuts and of random programs, which know
// nothing but effects and outcomes, are asked first, and the others only if these find
// nothing. Then it lifts limits, one by one, that no Conf lifts: the row of TestAttacks
// that is about it must notice, which is asked alone. It exits with 1 if a fault survives, or
// if fewer than ten are found by the first two suites.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A mutant is a fault: in one file, one piece of text becomes another.
type mutant struct {
	name string // what the fault is
	file string
	old  string
	new  string
}

// A job is a mutant, and the suites that are asked.
type job struct {
	mutant
	suites []suite
}

// A suite is what go test is asked for.
type suite struct {
	name     string
	tests    string // their names match
	packages []string
	limit    time.Duration // a hang counts as noticed
}

var suites = []suite{
	{"cuts", "Cut|Dialogue", []string{"./internal/integration/faults"}, 4 * time.Minute},
	{"chaos", "Chaos|Histories", []string{"./internal/integration/faults"}, 4 * time.Minute},
	{"units", ".", []string{"./wire", "./transport", "./delegate", "./handler", "./client", "./server", "./cmdstreamtest", "./codec", "./group", "."}, 4 * time.Minute},
}

// attacks is asked alone where a limit is lifted.
var attacks = suite{"attacks", "^TestAttacks$", []string{"./internal/integration/attacks"}, 4 * time.Minute}

// enough is how many faults the first two suites have to find.
const enough = 10

func main() {
	pattern := flag.String("run", "", "plant only the faults whose name matches")
	workers := flag.Int("j", 1, "how many at once")
	list := flag.Bool("list", false, "list the faults and do nothing")
	flag.Parse()
	chosen, err := choose(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if *list {
		for _, m := range chosen {
			fmt.Printf("%-28s %s\n", m.file, m.name)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !all(ctx, chosen, *workers, *pattern == "") {
		os.Exit(1)
	}
}

func choose(pattern string) (chosen []job, err error) {
	matches, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var all []job
	for _, m := range mutants {
		all = append(all, job{m, suites})
	}
	for _, m := range lifts {
		row := attacks
		row.tests += "/^" + regexp.QuoteMeta(strings.ReplaceAll(m.name, " ", "_")) + "$"
		m.name = "lifted: " + m.name
		all = append(all, job{m, []suite{row}})
	}
	for _, m := range all {
		text, err := os.ReadFile(m.file)
		if err != nil {
			return nil, err
		}
		if n := strings.Count(string(text), m.old); n != 1 {
			return nil, fmt.Errorf("%q: %s holds the text to change %d times", m.name, m.file, n)
		}
		if matches.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	return chosen, nil
}

// all tries the faults, and tells whether each was noticed.
func all(ctx context.Context, chosen []job, workers int, complete bool) bool {
	begin := time.Now()
	places := make(chan string, workers) // copies of the repository
	for range workers {
		dir, err := os.MkdirTemp("", "mutant")
		if err == nil {
			defer os.RemoveAll(dir)
			err = copyTree(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "mutants:", err)
			return false
		}
		places <- dir
	}
	control := <-places
	fmt.Println("without a fault all must pass")
	if v := ask(ctx, control, append(slices.Clone(suites), attacks)); v.suite != "" || v.err != nil {
		fmt.Printf("        %s: %s %v\n%s", v.suite, v.test, v.err, v.out)
		return false
	}
	places <- control
	fmt.Printf("%d faults, after %v\n", len(chosen), time.Since(begin).Round(time.Second))
	var mu sync.Mutex
	var wg sync.WaitGroup
	tried, survived, early := 0, 0, 0
	for _, m := range chosen {
		dir := <-places
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			v := try(ctx, m, dir)
			mu.Lock()
			defer mu.Unlock()
			tried++
			switch {
			case v.err != nil:
				survived++
				fmt.Printf("%2d/%d  ERROR     %s: %v\n", tried, len(chosen), m.name, v.err)
			case v.suite == "":
				survived++
				fmt.Printf("%2d/%d  SURVIVED  %s\n", tried, len(chosen), m.name)
			default:
				if v.suite == suites[0].name || v.suite == suites[1].name {
					early++
				}
				fmt.Printf("%2d/%d  %-8s  %-64s %s (%.0f s)\n%22s%s\n", tried, len(chosen), v.suite, m.name, v.test, v.took.Seconds(), "", said(v.out))
			}
			places <- dir
		})
	}
	wg.Wait()
	fmt.Printf("%d faults, %d survived, %d noticed by cuts and chaos alone, in %v\n", tried, survived, early, time.Since(begin).Round(time.Second))
	return ctx.Err() == nil && survived == 0 && (early >= enough || !complete)
}

// A verdict is what became of a fault.
type verdict struct {
	suite, test string // "": nobody noticed
	took        time.Duration
	out         []byte
	err         error // it could not be tried
}

// try plants a fault in a copy and has the suites look for it.
func try(ctx context.Context, m job, dir string) verdict {
	name := filepath.Join(dir, m.file)
	text, err := os.ReadFile(name)
	if err != nil {
		return verdict{err: err}
	}
	defer os.WriteFile(name, text, 0o644)
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o644); err != nil {
		return verdict{err: err}
	}
	return ask(ctx, dir, m.suites)
}

// ask runs the suites in a copy until one fails. One that fails and does not say which
// test it was has found nothing.
func ask(ctx context.Context, dir string, suites []suite) verdict {
	begin := time.Now()
	for _, s := range suites {
		if out, err := goTest(ctx, dir, s, "^$"); err != nil {
			return verdict{err: fmt.Errorf("it does not compile: %s", out)}
		}
	}
	for _, s := range suites {
		out, err := goTest(ctx, dir, s, s.tests)
		if ctx.Err() != nil {
			return verdict{err: ctx.Err()}
		}
		if err == nil {
			continue
		}
		if test := failed(out); test != "" {
			return verdict{suite: s.name, test: test, took: time.Since(begin), out: out}
		}
		return verdict{err: fmt.Errorf("%s failed, and no test did: %s", s.name, out)}
	}
	return verdict{}
}

// goTest runs tests of a suite. By -trimpath the copies share what is compiled.
func goTest(ctx context.Context, dir string, s suite, tests string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit+time.Minute)
	defer cancel()
	cmd := command(ctx, dir, "go", append([]string{"test", "-v", "-trimpath", "-failfast", "-vet=off", "-count=1", "-run", tests, "-timeout", s.limit.String()}, s.packages...)...)
	cmd.Env = append(os.Environ(), "CUTS=some")
	return cmd.CombinedOutput()
}

func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return cmd
}

// copyTree copies what git knows.
func copyTree(dir string) error {
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return err
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

var (
	failure   = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	running   = regexp.MustCompile(`(?m)^\s+(Test\S+) \(`)
	stack     = regexp.MustCompile(`\.(Test\w+)[.(]`)
	complaint = regexp.MustCompile(`(?m)^\s+\w+\.go:\d+: (.*)|^(panic: .*)`)
	begun     = regexp.MustCompile(`(?m)^=== RUN\s+(\S+)`)
)

// said is the first thing that a test has said of what is wrong.
func said(out []byte) string {
	found := complaint.FindSubmatch(out)
	if found == nil {
		return "it said nothing"
	}
	text := append(found[1], found[2]...)
	return string(text[:min(len(text), 120)])
}

// failed is the name of the test that failed, or was running when its program ended; "":
// none.
func failed(out []byte) string {
	if names := failure.FindAllSubmatch(out, -1); len(names) > 0 {
		return string(names[len(names)-1][1])
	}
	if hung := running.FindSubmatch(out); hung != nil && strings.Contains(string(out), "panic: test timed out") {
		return string(hung[1]) + ", which hangs"
	}
	before, _, panicked := bytes.Cut(out, []byte("panic: "))
	if at := stack.FindSubmatch(out); at != nil && panicked {
		return string(at[1]) + ", by a panic"
	}
	if tests := begun.FindAllSubmatch(before, -1); len(tests) > 0 && panicked { // in a goroutine of the test's
		return string(tests[len(tests)-1][1]) + ", by a panic"
	}
	return ""
}
