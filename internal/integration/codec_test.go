package integration_test

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// codecs is what the two sides of a connection are given.
type codecs struct {
	name   string
	client client.Codec[*desk]
	server server.Codec[*desk]
}

func allCodecs() []codecs {
	set := codec.NewSet[*desk](json.Format{})
	codec.Unary[echo](set, 1)
	codec.Unary[fail](set, 2)
	codec.Unary[wait](set, 3)
	codec.Unary[who](set, 4)
	codec.Stream[count](set, 5)
	return []codecs{
		{"hand-written", handClient{}, handServer{}},
		{"json", set.Client(), set.Server()},
	}
}

// The commands in the form that a client sends them.
type (
	echoCmd  = base.Unary[*desk, string, echo]
	failCmd  = base.Unary[*desk, string, fail]
	waitCmd  = base.Unary[*desk, string, wait]
	whoCmd   = base.Unary[*desk, string, who]
	countCmd = base.Stream[*desk, int, count]
)

// handClient and handServer are written by hand: a command and a result are a
// letter and a text with its length before it, or a letter and a number.
type (
	handClient struct{}
	handServer struct{}
)

func (handClient) Encode(cmd base.Cmd[*desk], w transport.Writer) error {
	data, err := appendCmd(nil, cmd)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func (handClient) Size(cmd base.Cmd[*desk]) int {
	data, _ := appendCmd(nil, cmd)
	return len(data)
}

func appendCmd(data []byte, cmd base.Cmd[*desk]) ([]byte, error) {
	switch cmd := cmd.(type) {
	case echoCmd:
		return appendText(append(data, 'e'), cmd.Cmd.Text), nil
	case failCmd:
		return appendText(append(data, 'f'), cmd.Cmd.Text), nil
	case waitCmd:
		return append(data, 'w'), nil
	case whoCmd:
		return append(data, 'n'), nil
	case countCmd:
		return binary.AppendVarint(append(data, 'c'), int64(cmd.Cmd.To)), nil
	}
	return nil, fmt.Errorf("%T is no command", cmd)
}

func (handServer) Decode(r transport.Reader) (base.Cmd[*desk], error) {
	letter, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch letter {
	case 'e':
		text, err := readText(r)
		return echoCmd{Cmd: echo{text}}, err
	case 'f':
		text, err := readText(r)
		return failCmd{Cmd: fail{text}}, err
	case 'w':
		return waitCmd{}, nil
	case 'n':
		return whoCmd{}, nil
	case 'c':
		to, err := binary.ReadVarint(r)
		return countCmd{Cmd: count{int(to)}}, err
	}
	return nil, fmt.Errorf("no command begins with %q", letter)
}

func (handServer) Encode(result base.Result, w transport.Writer) error {
	var data []byte
	switch result := result.(type) {
	case base.Value[string]:
		data = appendText([]byte{'v'}, result.V)
	case base.Item[int]:
		data = binary.AppendVarint([]byte{'i'}, int64(result.V))
	case base.End:
		data = []byte{'.'}
	default:
		return fmt.Errorf("a %T is no result", result)
	}
	_, err := w.Write(data)
	return err
}

func (handClient) Decode(r transport.Reader) (base.Result, error) {
	letter, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch letter {
	case 'v':
		text, err := readText(r)
		return base.Value[string]{V: text}, err
	case 'i':
		n, err := binary.ReadVarint(r)
		return base.Item[int]{V: int(n)}, err
	case '.':
		return base.End{}, nil
	}
	return nil, fmt.Errorf("no result begins with %q", letter)
}

func appendText(data []byte, text string) []byte {
	return append(binary.AppendUvarint(data, uint64(len(text))), text...)
}

func readText(r transport.Reader) (string, error) {
	length, err := binary.ReadUvarint(r)
	if err != nil {
		return "", err
	}
	if length > 4<<20 {
		return "", fmt.Errorf("a text of %d bytes", length)
	}
	text := make([]byte, length)
	_, err = io.ReadFull(r, text)
	return string(text), err
}
