//go:build !linux

package transport

// yieldThread does nothing where the system has no such call.
func yieldThread() {}
