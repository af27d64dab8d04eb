package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

func TestTwoSystemsEndToEnd(t *testing.T) {
	var out, errs bytes.Buffer
	folder := t.TempDir()
	args := []string{"-sys", "cmdstream,raw", "-work", "echo-1", "-d", "200ms", "-rounds", "1", "-json", "-out", folder}
	if err := bench(args, &out, &errs); err != nil {
		t.Fatal(err, errs.String())
	}
	var r results
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Figures) != 4 || errs.Len() > 0 {
		t.Fatalf("%d figures, %s", len(r.Figures), errs.String())
	}
	for _, f := range r.Figures {
		if f.Missing != "" || f.Rounds != 1 {
			t.Errorf("%s, %s: %d rounds, %s", f.System, f.Mode, f.Rounds, f.Missing)
		}
		for _, metric := range []string{opsPerSecond, median, high, highest, cpu, writes, wireUp, wireDown} {
			if f.Values[metric] <= 0 {
				t.Errorf("%s, %s: %s is %v", f.System, f.Mode, metric, f.Values[metric])
			}
		}
	}
	if raw := r.of("echo-1", oneProcess)[1]; raw.Values[wireUp] != 4 || raw.Values[wireDown] != 4 || raw.ToLimit[opsPerSecond] != 1 {
		t.Errorf("raw: %v, %v", raw.Values, raw.ToLimit)
	}
	if r.Machine.Modules["raw"] != "by hand" || r.Machine.Go == "" {
		t.Errorf("the machine is %+v", r.Machine)
	}
	for _, name := range []string{"latest.json", "latency-one.svg", "latency-two.svg"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
}

// Each kind of work, small enough for a test.
func TestEachKindOfWork(t *testing.T) {
	certificate, key, err := systems.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	s := settings{duration: 50 * time.Millisecond, warm: 10 * time.Millisecond, certificate: certificate, key: key}
	works := []struct {
		workload
		metric string
	}{
		{workload{Kind: echo, Callers: 9, Conns: 3, Size: 100}, opsPerSecond},
		{workload{Kind: echo, Callers: 2, Conns: 1, Size: small, Timeout: 5 * time.Second, TLS: true}, median},
		{workload{Kind: pipe, Callers: 20, Conns: 1, Size: small}, median},
		{workload{Kind: stream, Callers: 2, Conns: 1, Size: systems.ResultSize, Results: 100}, opsPerSecond},
		{workload{Kind: burst, Callers: 300, Conns: 1, Size: small, Sleep: time.Millisecond}, memoryPerCall},
		{workload{Kind: idle, Conns: 20, Size: small}, serverPerConn},
		{workload{Kind: paced, Callers: 2, Conns: 10, Size: small, Rate: 1000}, high},
		{workload{Kind: beside, Callers: 2, Conns: 1, Size: small, Large: 5 * mebibyte}, highWith},
	}
	for _, w := range works {
		for _, m := range bothModes {
			t.Run(string(w.Kind)+"/"+string(m), func(t *testing.T) {
				system, err := systems.ByName("cmdstream")
				if err != nil {
					t.Fatal(err)
				}
				found, err := execute(system, w.workload, m, s)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := found[w.metric]; !ok {
					t.Errorf("no %s in %v", w.metric, found)
				}
			})
		}
	}
}

// broken is a system that can't serve.
type broken struct{ systems.System }

func (broken) Info() systems.Info { return systems.Info{Name: "broken", Kind: systems.Peer} }

func (broken) Serve(systems.Conf) (*systems.Server, error) { return nil, errors.New("it is broken") }

func (broken) Dial(context.Context, string, systems.Conf) (systems.Conn, error) {
	return nil, errors.New("it is broken")
}

func TestARunThatFailsIsToldAndTheOthersGoOn(t *testing.T) {
	good, err := systems.ByName("netrpc")
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	p := &plan{
		settings: settings{duration: 20 * time.Millisecond, warm: time.Millisecond},
		systems:  []systems.System{broken{}, good}, works: []workload{echoWork("echo-2", 2, 1, small)},
		modes: []mode{oneProcess}, rounds: 2, run: execute, told: &told, bar: &progress{},
	}
	var r results
	p.execute(&r)
	if got := told.String(); strings.Count(got, "broken failed at echo-2, one process: it is broken") != 1 {
		t.Errorf("told: %q", got)
	}
	if r.Figures[0].Missing != "failed: it is broken" || r.Figures[1].Missing != "" || r.Figures[1].Rounds != 2 {
		t.Errorf("%+v, %+v", r.Figures[0], r.Figures[1])
	}
}

// What JSON costs by itself is measured beside each run that it is to be held against.
func TestJSONAloneIsMeasuredInEachRound(t *testing.T) {
	system, err := systems.ByName(typed)
	if err != nil {
		t.Fatal(err)
	}
	p := &plan{
		settings: settings{duration: 5 * time.Millisecond},
		systems:  []systems.System{system}, works: []workload{echoWork("echo-64", 64, 1, small), echoWork("echo-2", 2, 1, small)},
		modes: []mode{oneProcess}, rounds: 2, bar: &progress{},
		run: func(systems.System, workload, mode, settings) (sample, error) { return sample{cpu: 9}, nil },
	}
	var r results
	p.execute(&r)
	for _, s := range r.Figures[0].samples {
		if s[jsonAlone] <= 0 {
			t.Errorf("a round found %v", s)
		}
	}
	if _, ok := r.value(typed, "echo-2", oneProcess, jsonAlone); ok {
		t.Error("it is measured beside other work")
	}
}

// sender is a system whose writes nobody counts.
type sender struct{ systems.System }

func (sender) Info() systems.Info {
	return systems.Info{Name: "sender", Kind: systems.Peer, SendsMessages: true}
}

func TestWritesThatAreNotCountedAreNoFigure(t *testing.T) {
	good, err := systems.ByName("netrpc")
	if err != nil {
		t.Fatal(err)
	}
	p := &plan{
		systems: []systems.System{sender{}, good}, works: []workload{echoWork("echo-2", 2, 1, small)},
		modes: []mode{oneProcess}, rounds: 1, bar: &progress{},
		run: func(systems.System, workload, mode, settings) (sample, error) { return sample{cpu: 9, writes: 0}, nil },
	}
	var r results
	p.execute(&r)
	if _, ok := r.value("sender", "echo-2", oneProcess, writes); ok {
		t.Error("writes of a system that sends messages")
	}
	if _, ok := r.value("netrpc", "echo-2", oneProcess, writes); !ok {
		t.Error("no writes of one that does not")
	}
}

func TestAServersProcessEnds(t *testing.T) {
	h, err := serveApart("raw", systems.Conf{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.ask(askCounters)
	if err != nil || c.Memory == 0 {
		t.Errorf("%+v, error %v", c, err)
	}
	h.close()
	if state := h.process.cmd.ProcessState; state == nil || !state.Success() {
		t.Errorf("the process has ended with %v", state)
	}
	if _, err := serveApart("nobody", systems.Conf{}); err == nil || !strings.Contains(err.Error(), `no system "nobody"`) {
		t.Errorf("error %v", err)
	}
}

func TestARunInAProcessOfItsOwn(t *testing.T) {
	s := settings{duration: 20 * time.Millisecond, warm: time.Millisecond}
	if _, err := executeApart(broken{}, echoWork("echo-2", 2, 1, small), oneProcess, s); err == nil || err.Error() != `there is no system "broken"` {
		t.Errorf("error %v", err)
	}
	system, err := systems.ByName("nats")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := executeApart(system, workload{Kind: pipe, Callers: 2, Conns: 1, Size: small}, twoProcesses, s); err != errNotApplicable {
		t.Errorf("error %v", err)
	}
}

func TestTheCommandLine(t *testing.T) {
	for _, wrong := range []string{"-size 4 -callers 1", "-rounds 0", "-size 64", "x"} {
		if _, err := parse(strings.Fields(wrong), new(bytes.Buffer)); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
	for _, wrong := range []string{"-sys nobody", "-work nothing", "-mode three"} {
		o, err := parse(strings.Fields(wrong), new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.plan(new(bytes.Buffer)); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
	o, err := parse(strings.Fields("-callers 64 -size 1024 -timeout 1s -mode two -sys arpc,raw"), new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.plan(new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if w := p.works[0]; len(p.works) != 1 || w.Callers != 64 || w.Size != 1024 || w.Timeout != time.Second || len(p.modes) != 1 || len(p.systems) != 2 {
		t.Errorf("%+v", p)
	}
	chosen, err := choose(allWorkloads(), "echo-1,tls-*")
	if err != nil || len(chosen) != 4 {
		t.Errorf("%v, error %v", chosen, err)
	}
	var out bytes.Buffer
	if err := bench([]string{"-list"}, &out, new(bytes.Buffer)); err != nil || !strings.Contains(out.String(), "burst-100000") {
		t.Errorf("%s, error %v", out.String(), err)
	}
}

func TestWorkloadsHaveNamesOfTheirOwn(t *testing.T) {
	var names []string
	for _, w := range allWorkloads() {
		names = append(names, w.Name)
		if w.text() == "" {
			t.Errorf("%s says nothing of itself", w.Name)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(allWorkloads()) {
		t.Errorf("two have the same name: %v", names)
	}
}
