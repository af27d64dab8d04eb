package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

type infoCommand struct {
	remote.Server
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is what --help adds.
func (infoCommand) Help() string {
	return `It connects and shows what the server says of itself: its ServerInfo, its
limits, how long it keeps sessions, which compression it chooses, and, where it has
a typed set, its commands. It opens no session for longer than it takes to ask.

Examples:
  cmdstream info localhost:9000
  cmdstream info --tls --ca ca.pem --json example.com:9000`
}

// serverInfo is what info shows.
type serverInfo struct {
	Addr        string   `json:"addr"`
	WireVersion int      `json:"wire_version"`
	ServerInfo  string   `json:"server_info"` // text, or hex with 0x before it
	MaxCmdSize  int      `json:"max_cmd_size"`
	MaxInFlight int      `json:"max_in_flight"`
	SessionMS   int64    `json:"session_time_ms"` // 0: the server keeps none
	Compression string   `json:"compression"`     // "": none
	HelloUS     int64    `json:"hello_us"`
	Format      string   `json:"format,omitempty"`
	Reflection  bool     `json:"reflection"`
	Commands    []string `json:"commands"` // null: the server does not tell
	NoCommands  string   `json:"no_commands,omitempty"`
}

// Run shows it.
func (c infoCommand) Run(ctx context.Context) error {
	began := time.Now()
	conn, hello, err := c.ask(ctx)
	if err != nil {
		return err
	}
	took := time.Since(began)
	remote.Close(conn)
	info := serverInfo{
		Addr: c.Addr, WireVersion: wire.Version, ServerInfo: remote.Bytes(hello.Info),
		MaxCmdSize: hello.Settings.MaxCmdSize, MaxInFlight: hello.Settings.MaxInFlight,
		SessionMS: hello.SessionTime.Milliseconds(), Compression: compressions[hello.Compression],
		HelloUS: took.Microseconds(),
	}
	switch description, err := c.describe(ctx); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		info.NoCommands = remote.Text(err)
	default:
		info.Format, info.Reflection, info.Commands = description.Format, description.Reflection, []string{}
		for _, command := range description.Commands {
			info.Commands = append(info.Commands, command.Name)
		}
	}
	if c.JSON {
		return printJSON(info)
	}
	screen := terminal.New(os.Stdout, os.Environ())
	info.print(screen)
	return screen.Err()
}

// compressions are those that info offers, and their names.
var compressions = map[uint64]string{1: "flate", 2: "zstd"}

// ask says hello. It asks for a session too, to learn how long they are kept.
func (c infoCommand) ask(ctx context.Context) (*transport.Conn, transport.Hello, error) {
	conn, hello, err := c.Connect(ctx, remote.Conf{Session: true, Compressions: []uint64{2, 1}})
	var refused *base.Error
	if errors.As(err, &refused) && refused.Remote && refused.Code == base.ErrUnsupported { // it keeps no sessions
		conn, hello, err = c.Connect(ctx, remote.Conf{Compressions: []uint64{2, 1}})
	}
	return conn, hello, err
}

// describeTime bounds the question for the commands.
const describeTime = 10 * time.Second

func (c infoCommand) describe(ctx context.Context) (*reflection.Description, error) {
	asking, err := remote.New(ctx, c.Server, reflection.NewCodec(), describeTime)
	if err != nil {
		return nil, err
	}
	defer asking.Close()
	return reflection.Describe(ctx, asking)
}

func (i serverInfo) print(screen *terminal.Screen) {
	line := func(name, value string) { screen.Line(fmt.Sprintf("%-14s%s", name, value)) }
	screen.Line(terminal.Title(i.Addr))
	line("ServerInfo", i.ServerInfo)
	line("wire version", fmt.Sprint(i.WireVersion))
	line("a command", fmt.Sprintf("%s bytes at most", terminal.Number(i.MaxCmdSize)))
	line("in flight", fmt.Sprintf("%s commands at most, on a connection", terminal.Number(i.MaxInFlight)))
	if i.SessionMS > 0 {
		line("sessions", fmt.Sprintf("kept for %v without a connection", time.Duration(i.SessionMS)*time.Millisecond))
	} else {
		line("sessions", "none")
	}
	if i.Compression == "" {
		line("compression", "none")
	} else {
		line("compression", i.Compression)
	}
	if i.Commands == nil {
		line("commands", "not told: "+i.NoCommands)
		return
	}
	line("format", remote.Clean(i.Format))
	if i.Reflection {
		line("reflection", "on: see cmdstream list and cmdstream call")
	} else {
		line("reflection", "off: the server tells names, and no more")
	}
	line("commands", fmt.Sprint(len(i.Commands)))
	for _, name := range i.Commands {
		screen.Line("  " + terminal.Code(remote.Clean(name)))
	}
}

// printJSON prints v in one line.
func printJSON(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }
