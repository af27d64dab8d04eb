package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// serverProcess is the environment variable that makes the test binary a server.
const serverProcess = "CMDSTREAM_SERVER_PROCESS"

// serverConf is what the server's process reads from its input, as JSON. It then
// prints its address, and serves until the input ends.
type serverConf struct {
	Addr    string
	Codec   string
	Framed  bool
	TLS     *identity // nil: no TLS
	Clients []byte    // the certificate that clients must have; nil: none
}

func runServerProcess() int {
	if err := serveProcess(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "the server's process:", err)
		return 1
	}
	return 0
}

func serveProcess(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	var conf serverConf
	if err := decoder.Decode(&conf); err != nil {
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
	fmt.Fprintln(out, listener.Addr())
	go s.Serve(listener)
	decoder.Decode(new(any)) // waits for the end
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

// startServer starts a server's process, and returns its address and what kills
// it. It ends with the test.
func startServer(t *testing.T, conf serverConf) (addr string, kill func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), serverProcess+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		killed = true
		cancel()
		cmd.Wait()
	}
	t.Cleanup(func() {
		if killed {
			return
		}
		in.Close() // also if this process is killed, so that none is left over
		time.AfterFunc(10*time.Second, cancel)
		if err := cmd.Wait(); err != nil {
			t.Error("the server's process:", err)
		}
	})
	if err := json.NewEncoder(in).Encode(conf); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the server's process printed no address:", err)
	}
	return strings.TrimSpace(line), kill
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
