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
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/client"
)

// In a siege the attacker and the honest clients are processes of their own, as in life:
// this test program once more, told by its environment what to do.
const (
	roleName    = "CMDSTREAM_ROLE"    // attacker or neighbours
	attackName  = "CMDSTREAM_ATTACK"  // the siege
	addressName = "CMDSTREAM_ADDRESS" // the server's
	tlsName     = "CMDSTREAM_TLS"     // "", or anything: over TLS
	placeName   = "CMDSTREAM_PLACE"   // of an attacker that is a server: its address; "": any
)

// process is one of them. It ends when its standard input does, and so with this one; it is
// killed when its test is over, or takes too long.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// order is what a process is told to do; the zero order is to report.
type order struct {
	Drive  time.Duration // the neighbours have commands run for so long
	Suffer string        // clients of the attacker begin, who is at this address
	Relent bool          // these end
	Idle   bool          // the report is to tell of goroutines and heap
}

// report answers each order.
type report struct {
	Load             load
	Strikes          int64
	Counted          uint64        // by clients of the attack
	CPU              time.Duration // that the process has had
	Goroutines, Heap int
	Failure          string // what must not be
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

// ask gives it an order.
func (p *process) ask(t *testing.T, o order) (r report) {
	t.Helper()
	err := json.NewEncoder(p.in).Encode(o)
	if err == nil {
		err = p.out.Decode(&r)
	}
	if err != nil {
		t.Fatal("a process is gone:", err)
	}
	if r.Failure != "" {
		t.Error(r.Failure)
	}
	return r
}

// place is where an attacker that is a server listens, once it does.
func (p *process) place(t *testing.T) (address string) {
	t.Helper()
	if err := p.out.Decode(&address); err != nil {
		t.Fatal("the attacker:", err)
	}
	return address
}

// runRole is such a process.
func runRole(role string) error {
	f := &field{address: os.Getenv(addressName)}
	for _, s := range sieges() {
		if s.name == os.Getenv(attackName) {
			f.siege = s
		}
	}
	switch {
	case f.siege.name == "":
		return errors.New("there is no such attack")
	case role == "attacker":
		return f.attacker()
	case role == "neighbours":
		return f.neighbours()
	}
	return fmt.Errorf("there is no role %q", role)
}

// attacker attacks until its standard input ends. Whenever it gets an order, it reports.
func (f *field) attacker() error {
	if err := yieldToAll(); err != nil {
		return err
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	listening := make(chan error, 1)
	go func() {
		defer f.cancel()
		if <-listening != nil {
			return
		}
		for in.Decode(new(order)) == nil && out.Encode(f.report(false)) == nil {
		}
	}()
	if f.siege.suffer != nil {
		var err error
		for f.listener, err = listen(); err != nil; f.listener, err = listen() {
			time.Sleep(time.Millisecond) // who was killed has it still
		}
		defer f.listener.Close()
		listening <- out.Encode(f.listener.Addr().String())
	} else {
		listening <- nil
	}
	if os.Getenv(tlsName) != "" {
		f.tls = &tls.Config{InsecureSkipVerify: true} // who attacks does not mind
	}
	if f.siege.attack(f); f.ctx.Err() == nil {
		return errors.New("the attack has ended before it was called off")
	}
	return f.failed()
}

// failed is what must not be, and was not reported yet.
func (f *field) failed() error {
	if failure := f.report(false).Failure; failure != "" {
		return errors.New(failure)
	}
	return nil
}

func listen() (net.Listener, error) {
	place := os.Getenv(placeName)
	if place == "" {
		place = "127.0.0.1:0"
	}
	return net.Listen("tcp", place)
}

// report tells how it stands with the attack.
func (f *field) report(withIdle bool) (r report) {
	f.mu.Lock()
	r.Counted, r.Failure, f.failure = f.counted, f.failure, ""
	for c := range f.clients {
		r.Counted += f.countOf(c)
	}
	f.mu.Unlock()
	r.Strikes, r.CPU = f.strikes.Load(), cpuTime()
	if withIdle {
		r.Goroutines, r.Heap = idle()
	}
	return r
}

// neighbours are the honest clients, and, where the attacker is a server, in the same
// process its clients. They do what they are told to.
func (f *field) neighbours() error {
	var clients []*client.Client[*world]
	for range connections {
		nc, err := net.Dial("tcp", f.address)
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
	var suffering sync.WaitGroup
	for {
		var o order
		switch err := in.Decode(&o); {
		case errors.Is(err, io.EOF):
			return f.failed()
		case err != nil:
			return err
		}
		var done load
		switch {
		case o.Drive > 0:
			var err error
			if done, err = drive(clients, o.Drive); err != nil {
				return err
			}
		case o.Suffer != "":
			f.address = o.Suffer
			f.ctx, f.cancel = context.WithCancel(context.Background())
			suffering.Go(func() { f.siege.suffer(f) })
		case o.Relent:
			f.cancel()
			suffering.Wait()
		}
		r := f.report(o.Idle)
		r.Load = done
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}
