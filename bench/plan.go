package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A mode says where the server runs.
type mode string

// The modes.
const (
	oneProcess   mode = "one" // client and server in one process
	twoProcesses mode = "two" // the server in a process of its own
)

var bothModes = []mode{oneProcess, twoProcesses}

// A kind is a way to work.
type kind string

// The kinds of work.
const (
	echo   kind = "echo"   // callers that call as fast as they can
	pipe   kind = "window" // one goroutine with many calls open
	stream kind = "stream" // streams of results
	burst  kind = "burst"  // as many calls as there are callers, all at once
	idle   kind = "idle"   // connections that do nothing
	paced  kind = "paced"  // a steady rate over all connections
	beside kind = "beside" // small calls beside a large one
)

// A workload is what all systems are asked to do.
type workload struct {
	Name    string
	Kind    kind
	Callers int // at once, or the size of a window, or streams
	Conns   int
	Size    int           // of a body, in bytes
	Timeout time.Duration `json:",omitempty"` // of every call
	Sleep   time.Duration `json:",omitempty"` // of the handler
	Compute time.Duration `json:",omitempty"` // of the handler, too
	Large   int           `json:",omitempty"` // of the large body, in bytes
	Rate    int           `json:",omitempty"` // calls a second, of all callers together
	Results int           `json:",omitempty"` // of a stream
	TLS     bool          `json:",omitempty"`
	Modes   []mode
	Quick   bool // a part of a quick run
}

const (
	kibibyte = 1 << 10
	mebibyte = 1 << 20
	small    = 32 // bytes
)

func echoWork(name string, callers, conns, size int) workload {
	return workload{Name: name, Kind: echo, Callers: callers, Conns: conns, Size: size, Modes: bothModes}
}

// allWorkloads returns all workloads. Their names are stable.
func allWorkloads() []workload {
	all := []workload{
		echoWork("echo-1", 1, 1, small),
		echoWork("echo-64", 64, 1, small),
		echoWork("echo-1024", 1024, 1, small),
		echoWork("echo-64-1KiB", 64, 1, kibibyte),
		echoWork("echo-64-64KiB", 64, 1, 64*kibibyte),
		echoWork("echo-1024-4conns", 1024, 4, small),
	}
	for _, callers := range []int{64, 1024} {
		w := echoWork(fmt.Sprintf("timeout-%d", callers), callers, 1, small)
		w.Timeout = 5 * time.Second
		all = append(all, w)
	}
	for i := range all {
		all[i].Quick = all[i].Conns == 1
	}
	compute := echoWork("compute-64", 64, 1, small)
	compute.Compute = 30 * time.Microsecond
	all = append(all, compute)
	all = append(
		all,
		workload{Name: "window-200", Kind: pipe, Callers: 200, Conns: 1, Size: small, Modes: bothModes, Quick: true},
		workload{Name: "stream-1", Kind: stream, Callers: 1, Conns: 1, Size: systems.ResultSize, Results: 50_000, Modes: bothModes, Quick: true},
		workload{Name: "stream-64", Kind: stream, Callers: 64, Conns: 1, Size: systems.ResultSize, Results: 5_000, Modes: bothModes},
		workload{Name: "burst-100000", Kind: burst, Callers: 100_000, Conns: 1, Size: small, Sleep: 30 * time.Millisecond, Modes: bothModes},
		workload{Name: "idle-10000", Kind: idle, Conns: 10_000, Size: small, Modes: []mode{twoProcesses}},
	)
	for _, conns := range []int{1, 100, 1_000, 10_000} {
		all = append(all, workload{
			Name: fmt.Sprintf("conns-%d", conns), Kind: paced, Callers: 20, Conns: conns, Size: small, Rate: 5_000,
			Modes: []mode{twoProcesses},
		})
	}
	all = append(all, workload{Name: "beside-64MiB", Kind: beside, Callers: 8, Conns: 1, Size: small, Large: 64 * mebibyte, Modes: bothModes})
	for _, callers := range []int{1, 64, 1024} {
		w := echoWork(fmt.Sprintf("tls-%d", callers), callers, 1, small)
		w.TLS = true
		all = append(all, w)
	}
	return all
}

// text says what a workload is.
func (w workload) text() string {
	var b strings.Builder
	conns := "one connection"
	if w.Conns > 1 {
		conns = fmt.Sprintf("%d connections", w.Conns)
	}
	switch w.Kind {
	case echo:
		fmt.Fprintf(&b, "%s on %s, %s there and back", number(w.Callers, "caller"), conns, bytesText(w.Size))
	case pipe:
		fmt.Fprintf(&b, "%d calls open from one goroutine, %s there and back", w.Callers, bytesText(w.Size))
	case stream:
		fmt.Fprintf(&b, "%s of %d results of %s on %s; an operation is a result", number(w.Callers, "stream"), w.Results, bytesText(w.Size), conns)
	case burst:
		fmt.Fprintf(&b, "%d calls at once on %s, whose handler sleeps for %v", w.Callers, conns, w.Sleep)
	case idle:
		fmt.Fprintf(&b, "%d connections that have carried one call each and do nothing", w.Conns)
	case paced:
		fmt.Fprintf(&b, "%d calls a second in all, in turn on %s", w.Rate, conns)
	case beside:
		fmt.Fprintf(&b, "%d callers with %s beside one with %s, on %s", w.Callers, bytesText(w.Size), bytesText(w.Large), conns)
	}
	if w.Timeout > 0 {
		fmt.Fprintf(&b, ", a deadline of %v on every call", w.Timeout)
	}
	if w.Compute > 0 {
		fmt.Fprintf(&b, ", the handler computes for %v", w.Compute)
	}
	if w.TLS {
		b.WriteString(", TLS")
	}
	return b.String()
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func bytesText(n int) string {
	switch {
	case n >= mebibyte && n%mebibyte == 0:
		return fmt.Sprintf("%d MiB", n/mebibyte)
	case n >= kibibyte && n%kibibyte == 0:
		return fmt.Sprintf("%d KiB", n/kibibyte)
	}
	return fmt.Sprintf("%d bytes", n)
}

// conf is what the workload needs of a system. What it does not need stays with the
// system's defaults.
func (w workload) conf(certificate, key []byte) systems.Conf {
	conf := systems.Conf{Timeout: w.Timeout, Job: systems.Job{Sleep: w.Sleep, Compute: w.Compute}, Stream: w.Kind == stream}
	if w.Large > 0 {
		conf.MaxBody = w.Large + kibibyte
	}
	if w.Conns >= 1_000 {
		conf.MaxConns = 2 * w.Conns
	}
	if w.Callers > 10_000 {
		conf.MaxCalls = 2 * w.Callers
	}
	if w.TLS {
		conf.Certificate, conf.Key = certificate, key
	}
	return conf
}

// applies says whether a system can do the work as it is meant. What only a connection
// can tell (windows, streams) is seen when it is there.
func (w workload) applies(info systems.Info) bool {
	switch {
	case info.NoLarge && w.Large > 0:
		return false
	case info.NoTLS && w.TLS:
		return false
	case info.Windowed:
		return w.Kind == pipe || w.Kind == echo && w.Callers > 1 && w.Timeout == 0 && w.Compute == 0
	case info.OwnConns && info.Kind == systems.Limit:
		return w.Kind == echo && w.Callers == 1 || w.Kind == idle || w.Kind == paced && w.Conns >= w.Callers
	case info.OwnConns:
		return w.Kind != burst && w.Kind != beside && (w.Kind != paced || w.Conns >= w.Callers)
	}
	return true
}

// choose returns the workloads whose names are listed; a name that ends in * stands
// for all that begin so.
func choose(all []workload, names string) ([]workload, error) {
	var chosen []workload
	for name := range strings.SplitSeq(names, ",") {
		prefix, many := strings.CutSuffix(name, "*")
		before := len(chosen)
		for _, w := range all {
			if w.Name == name || many && strings.HasPrefix(w.Name, prefix) {
				chosen = append(chosen, w)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("there is no workload %q: -list names them all", name)
		}
	}
	return chosen, nil
}

// chooseSystems returns the systems whose names are listed; none listed: all.
func chooseSystems(names string) ([]systems.System, error) {
	if names == "" {
		return systems.All(), nil
	}
	var chosen []systems.System
	for name := range strings.SplitSeq(names, ",") {
		system, err := systems.ByName(name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, system)
	}
	return chosen, nil
}

// steps is how many runs a plan has.
func steps(chosen []systems.System, works []workload, modes []mode, rounds int) int {
	n := 0
	for _, w := range works {
		for _, m := range modes {
			if !slices.Contains(w.Modes, m) {
				continue
			}
			for _, system := range chosen {
				if w.applies(system.Info()) {
					n += rounds
				}
			}
		}
	}
	return n
}
