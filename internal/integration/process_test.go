package integration_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// processRole is the environment variable that makes the test binary a process of
// a test, and says which.
const processRole = "CMDSTREAM_PROCESS"

// runProcess is the main function of a process: it reads its configuration, and then
// requests, from its input, as JSON, and answers on its output. It ends when its input
// does, so that none is left over when the test is killed.
func runProcess(role string) int {
	roles := map[string]func(in *json.Decoder, out *json.Encoder) error{
		"desk": serveDesk, "book": serveBook, "load": runLoad,
	}
	if err := roles[role](json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)); err != nil {
		fmt.Fprintf(os.Stderr, "the process %s: %v\n", role, err)
		return 1
	}
	return 0
}

// process is a process of a test, which ends with it.
type process struct {
	cmd           *exec.Cmd
	stdin, stdout io.Closer
	in            *json.Encoder // to stdin
	out           *json.Decoder // from stdout
	ended         chan struct{} // closed once err is set
	err           error
}

func startProcess(t *testing.T, role string, conf any) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	// With the race detector a process sleeps for a second before it ends.
	cmd.Env = append(os.Environ(), processRole+"="+role, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stderr = os.Stderr
	dieWithParent(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not StdoutPipe: what a process has said is to be read when it has ended, too.
	stdout, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = theirs
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, stdin, stdout, json.NewEncoder(stdin), json.NewDecoder(stdout), make(chan struct{}), nil}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-p.ended: // by kill, or by end
		default:
			p.end(t)
		}
		stdout.Close()
	})
	if err := p.in.Encode(conf); err != nil {
		t.Fatal(err)
	}
	return p
}

// read reads what the process says next.
func (p *process) read(t *testing.T, into any) {
	t.Helper()
	if err := p.out.Decode(into); err != nil {
		t.Fatalf("the process has no answer: %v", err)
	}
}

// ask sends a request, and reads the answer.
func (p *process) ask(t *testing.T, request string, into any) {
	t.Helper()
	if err := p.in.Encode(request); err != nil {
		t.Fatal(err)
	}
	p.read(t, into)
}

// kill ends the process at once, as kill -9 does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// end lets the process end by itself.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.kill()
	}
	if p.err != nil {
		t.Error("the process:", p.err)
	}
}

// serverConf is the configuration of the desk's process, which serves at an address,
// and tells that.
type serverConf struct {
	Addr    string
	Codec   string
	Framed  bool
	TLS     *identity // nil: no TLS
	Clients []byte    // the certificate that clients must have; nil: none
}

func serveDesk(in *json.Decoder, out *json.Encoder) error {
	var conf serverConf
	if err := in.Decode(&conf); err != nil {
		return err
	}
	used := server.Conf[*desk]{Logger: quiet, Transport: transport.Plain}
	if conf.Framed {
		used.Transport = transport.Framed
	}
	if conf.TLS != nil {
		var err error
		if used.TLSConfig, err = serverTLS(*conf.TLS, conf.Clients); err != nil {
			return err
		}
	}
	s, err := server.New(codecsNamed(conf.Codec).server, newDesk(), used)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", conf.Addr)
	if err != nil {
		return err
	}
	out.Encode(listener.Addr().String())
	go s.Serve(listener)
	in.Decode(new(any)) // waits for the end
	return s.Close()
}

func codecsNamed(name string) codecs {
	for _, c := range allCodecs() {
		if c.name == name {
			return c
		}
	}
	panic("there are no codecs called " + name)
}

// startServer starts a desk's process, and returns its address and what kills it.
func startServer(t *testing.T, conf serverConf) (addr string, kill func()) {
	t.Helper()
	p := startProcess(t, "desk", conf)
	p.read(t, &addr)
	return addr, p.kill
}

// Server and client in two processes do all that one process can.
func TestTwoProcesses(t *testing.T) {
	for _, network := range []struct {
		name   string
		secure bool
		client string // the name in its certificate
		who    string
	}{
		{"tcp", false, "", "no TLS"},
		{"tls", true, "", "no certificate"},
		{"mutual tls", true, clientName, clientName},
	} {
		for _, codecs := range allCodecs() {
			for _, wire := range []string{"framed", "plain"} {
				t.Run(network.name+"/"+codecs.name+"/"+wire, func(t *testing.T) {
					t.Parallel()
					conf := serverConf{Addr: "127.0.0.1:0", Codec: codecs.name, Framed: wire == "framed"}
					if network.secure {
						own := identityOf(t, "server")
						conf.TLS = &own
					}
					if network.client != "" {
						conf.Clients = identityOf(t, network.client).Certificate
					}
					var kill func()
					conf.Addr, kill = startServer(t, conf)

					k := kind{codecs: codecs, wire: transport.Plain, framed: conf.Framed}
					if k.framed {
						k.wire = transport.Framed
					}
					p := &pair{kind: k, place: &place{name: network.who, dial: client.TCP(conf.Addr)}}
					if network.secure {
						p.place.dial = client.TLS(conf.Addr, clientTLS(t, network.client))
					}
					p.dial(t, client.Conf{})
					for _, c := range cases {
						t.Run(c.name, func(t *testing.T) { c.run(t, p) })
					}

					kill()
					startServer(t, conf)
					t.Run("after the server was killed", func(t *testing.T) { unary(t, p) })
				})
			}
		}
	}
}
