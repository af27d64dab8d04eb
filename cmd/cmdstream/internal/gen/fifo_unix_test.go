//go:build unix

package gen

import (
	"os"
	"syscall"
	"testing"
)

// What is no file is not read: that could take forever.
func TestAPipeInTheWay(t *testing.T) {
	module(t, map[string]string{"sub/a.go": users("\tGet() error")})
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Skip("no pipes to be had: ", err)
	}
	if err := os.Rename("pipe", "sub/users_cmdstream.go"); err != nil {
		t.Fatal(err)
	}
	const want = " is no regular file: remove it, or give another one by -out"
	fails(t, Options{Type: "Users", Dir: "sub"}, "sub/users_cmdstream.go"+want)
	if err := os.Rename("sub/users_cmdstream.go", "sub/pipe"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pipe", "sub/users_cmdstream.go"); err != nil {
		t.Fatal(err)
	}
	fails(t, Options{Type: "Users", Dir: "sub"}, "sub/users_cmdstream.go"+want)
}
