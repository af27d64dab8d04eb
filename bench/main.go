// Bench compares cmdstream with other Go libraries that call a server and with two
// limits written by hand, all at the same work. README.md beside this file says what
// is measured and how.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

func main() {
	if asProcess() {
		return
	}
	if err := bench(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	systems, works, mode, out    string
	callers, conns, size, rounds int
	timeout, duration            time.Duration
	secure, quick, list, json    bool
}

// Of a quick run: what fits into two minutes.
const (
	quickRounds   = 1
	quickDuration = 150 * time.Millisecond
	quickWarm     = 50 * time.Millisecond
	warmUp        = 200 * time.Millisecond
)

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(errs)
	set.StringVar(&o.systems, "sys", "", "systems, with commas between; none: all")
	set.StringVar(&o.works, "work", "", "workloads, with commas between, * at the end for all that begin so; none: all")
	set.StringVar(&o.mode, "mode", "both", "where the server runs: in `one` process with the client, in two processes, or both in turn: one, two, both")
	set.IntVar(&o.callers, "callers", 0, "instead of -work: an echo with so many callers")
	set.IntVar(&o.conns, "conns", 1, "of such an echo: connections")
	set.IntVar(&o.size, "size", small, "of such an echo: bytes of a body, 8 or more")
	set.DurationVar(&o.timeout, "timeout", 0, "of such an echo: deadline of every call; 0: none")
	set.BoolVar(&o.secure, "tls", false, "of such an echo: with TLS")
	set.DurationVar(&o.duration, "d", time.Second, "how long each run is measured")
	set.IntVar(&o.rounds, "rounds", 5, "rounds, of which the median counts")
	set.StringVar(&o.out, "out", "", "folder for the results as JSON, and charts if it is a full run; none: neither")
	set.BoolVar(&o.quick, "quick", false, "a short look: some of the workloads, short runs, one round")
	set.BoolVar(&o.list, "list", false, "list systems and workloads, and do nothing else")
	set.BoolVar(&o.json, "json", false, "write JSON instead of tables")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.quick && !given["d"] {
		o.duration = quickDuration
	}
	if o.quick && !given["rounds"] {
		o.rounds = quickRounds
	}
	if o.callers == 0 && (given["size"] || given["conns"] || given["timeout"] || given["tls"]) {
		return o, errors.New("-size, -conns, -timeout and -tls go with -callers")
	}
	if set.NArg() > 0 || o.rounds < 1 || o.conns < 1 || o.size < 8 || o.callers < 0 || o.duration <= 0 {
		return o, errors.New("an argument is out of range: see -help")
	}
	return o, nil
}

// plan is what the options ask for.
func (o options) plan(errs io.Writer) (*plan, error) {
	p := &plan{rounds: o.rounds, run: executeApart, told: errs, wire: true, settings: settings{duration: o.duration, warm: warmUp}}
	var err error
	if p.systems, err = chooseSystems(o.systems); err != nil {
		return nil, err
	}
	switch {
	case o.callers > 0:
		w := echoWork(fmt.Sprintf("echo-%d-%dB", o.callers, o.size), o.callers, o.conns, o.size)
		w.Timeout, w.TLS = o.timeout, o.secure
		if o.size > mebibyte {
			w.Large = o.size
		}
		p.works = []workload{w}
	case o.works != "":
		p.works, err = choose(allWorkloads(), o.works)
	default:
		for _, w := range allWorkloads() {
			if w.Quick || !o.quick {
				p.works = append(p.works, w)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	switch o.mode {
	case "both":
		p.modes = bothModes
	case string(oneProcess), string(twoProcesses):
		p.modes = []mode{mode(o.mode)}
	default:
		return nil, fmt.Errorf("-mode is one, two or both, and not %q", o.mode)
	}
	if o.quick {
		p.warm, p.wire = quickWarm, false
	}
	if p.certificate, p.key, err = systems.NewCertificate(); err != nil {
		return nil, err
	}
	p.bar = &progress{all: steps(p.systems, p.works, p.modes, p.rounds)}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		p.bar.to = os.Stderr
	}
	return p, nil
}

func bench(args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	if o.list {
		list(out)
		return nil
	}
	p, err := o.plan(errs)
	if err != nil {
		return err
	}
	r := &results{Machine: thisMachine(p.systems), Rounds: o.rounds, Duration: o.duration.Seconds()}
	if o.quick {
		r.Note = "A quick look: few rounds, short runs and not all workloads. `make bench` has the figures."
	}
	p.execute(r)
	r.Goals = judge(r)
	if o.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(r)
	} else {
		r.report(out)
	}
	if err != nil || o.out == "" {
		return err
	}
	if o.quick {
		return r.save(o.out, "quick.json")
	}
	if err := r.save(o.out, "latest.json"); err != nil {
		return err
	}
	return r.charts(filepath.Clean(o.out))
}

func list(out io.Writer) {
	fmt.Fprintln(out, "Systems")
	for _, s := range systems.All() {
		fmt.Fprintf(out, "  %-18s %s\n", s.Info().Name, s.Info().Kind)
	}
	fmt.Fprintln(out, "Workloads")
	for _, w := range allWorkloads() {
		quick := ""
		if w.Quick {
			quick = "; also in a quick run"
		}
		fmt.Fprintf(out, "  %-18s %s%s\n", w.Name, w.text(), quick)
	}
}
