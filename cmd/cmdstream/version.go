package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/cmdstream/cmdstream/wire"
)

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run() error {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	_, err := fmt.Printf("cmdstream %s, wire version %d, %s %s/%s\n",
		version, wire.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
