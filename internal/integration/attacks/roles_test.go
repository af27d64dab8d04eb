package attacks

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/client"
)

// In a siege the attacker and the honest clients are processes of their own, as in life:
// this test program once more, told by its environment what to do.
const (
	roleName    = "CMDSTREAM_ROLE"    // attacker or neighbours
	attackName  = "CMDSTREAM_ATTACK"  // the attacker's siege
	addressName = "CMDSTREAM_ADDRESS" // the server's
	tlsName     = "CMDSTREAM_TLS"     // "", or anything: over TLS
)

// process is one of them. It ends when its standard input does, and so with this one; it is
// killed when its test is over, or takes too long.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// lifetime is longer than all rounds of a siege.
const lifetime = 2 * time.Minute

// startProcess starts one that talks to the server at an address.
func startProcess(t *testing.T, role string, address net.Addr, overTLS bool, environment ...string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), lifetime)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program)
	// With the race detector a process sleeps for a second before it ends.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"),
		roleName+"="+role, addressName+"="+address.String())
	if overTLS {
		cmd.Env = append(cmd.Env, tlsName+"=1")
	}
	cmd.Env = append(cmd.Env, environment...)
	cmd.Stderr = os.Stderr
	inGroup(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &process{cmd, in, json.NewDecoder(out)}
}

// end has it end, and waits for that.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the process %v: %v", p.cmd.Args, err)
	}
}

// runRole is such a process.
func runRole(role string) error {
	address := os.Getenv(addressName)
	switch role {
	case "attacker":
		if err := yieldToAll(); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		f := &field{ctx: ctx, address: address}
		go func() { // whenever it reads something, it says how often it has struck
			defer cancel()
			in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
			for in.Decode(new(string)) == nil && out.Encode(f.strikes.Load()) == nil {
			}
		}()
		if os.Getenv(tlsName) != "" {
			f.tls = &tls.Config{InsecureSkipVerify: true} // who attacks does not mind
		}
		for _, s := range sieges() {
			if s.name == os.Getenv(attackName) {
				if s.attack(f); ctx.Err() == nil {
					return errors.New("the attack has ended before it was called off")
				}
				return nil
			}
		}
		return errors.New("there is no such attack")
	case "neighbours":
		return neighbours(address)
	}
	return fmt.Errorf("there is no role %q", role)
}

// neighbours are the honest clients: whenever they read for how long, they have commands
// run for as long, and say what they got done.
func neighbours(address string) error {
	var clients []*client.Client[*world]
	for range connections {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if os.Getenv(tlsName) != "" {
			// The certificate was made by another process: it can't be known here.
			nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
		}
		// Some sieges have a server that cuts whoever is silent for half a second.
		conf := client.Conf{Logger: quiet, KeepaliveTime: 200 * time.Millisecond, KeepaliveIntvl: 200 * time.Millisecond}
		c, err := client.New(context.Background(), clientCodec{}, nc, conf)
		if err != nil {
			return err
		}
		defer c.Close()
		clients = append(clients, c)
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var length time.Duration
		switch err := in.Decode(&length); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		done, err := drive(clients, length)
		if err != nil {
			return err
		}
		if err := out.Encode(done); err != nil {
			return err
		}
	}
}

// drive has the neighbours have commands run for a time.
func (p *process) drive(t *testing.T, length time.Duration) (done load) {
	t.Helper()
	if err := json.NewEncoder(p.in).Encode(length); err != nil {
		t.Fatal(err)
	}
	if err := p.out.Decode(&done); err != nil {
		t.Fatal("honest clients:", err)
	}
	return done
}

// strikes asks the attacker how often it has struck.
func (p *process) strikes(t *testing.T) (n int64) {
	t.Helper()
	if err := json.NewEncoder(p.in).Encode("how often?"); err != nil {
		t.Fatal(err)
	}
	if err := p.out.Decode(&n); err != nil {
		t.Fatal("the attacker:", err)
	}
	return n
}
