package main

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A machine is where and with what figures were found.
type machine struct {
	Date    string            `json:"date"`
	Go      string            `json:"go"`
	System  string            `json:"system"`
	CPU     string            `json:"cpu"`
	Cores   int               `json:"cores"`
	Modules map[string]string `json:"modules"` // version by the name of the system
}

func thisMachine(measured []systems.System) machine {
	m := machine{
		Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"), Go: runtime.Version(),
		System: runtime.GOOS + "/" + runtime.GOARCH, CPU: "unknown", Cores: runtime.NumCPU(), Modules: map[string]string{},
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += ", kernel " + strings.TrimSpace(string(release))
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(info) {
			if name, model, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(model)
				break
			}
		}
	}
	versions := map[string]string{}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			versions[module.Path] = module.Version
		}
	}
	for _, s := range measured {
		switch info := s.Info(); {
		case info.Kind == systems.Ours:
			m.Modules[info.Name] = "this repository"
		case info.Module != "":
			m.Modules[info.Name] = info.Module + " " + versions[info.Module]
			if info.Name == "nats" {
				m.Modules[info.Name] += ", github.com/nats-io/nats.go " + versions["github.com/nats-io/nats.go"]
			}
		case info.Kind == systems.Peer:
			m.Modules[info.Name] = "standard library"
		default:
			m.Modules[info.Name] = "by hand"
		}
	}
	return m
}
