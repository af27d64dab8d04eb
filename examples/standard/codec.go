package main

import (
	"encoding/binary"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// The first byte of a command says which one it is.
const (
	addType byte = iota + 1
	subType
)

// ClientCodec encodes commands and decodes results.
type ClientCodec struct{}

// Encode writes a command: its type, and its two numbers as varints.
func (ClientCodec) Encode(cmd base.Cmd[Calculator], w transport.Writer) error {
	data, err := appendCmd(nil, cmd)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// Size is how many bytes Encode will write. The client holds it against the
// largest size that the server takes, before it sends anything.
func (ClientCodec) Size(cmd base.Cmd[Calculator]) int {
	data, _ := appendCmd(nil, cmd)
	return len(data)
}

// Decode reads a result.
func (ClientCodec) Decode(r transport.Reader) (base.Result, error) {
	number, err := binary.ReadVarint(r)
	return Result(number), err
}

// ServerCodec decodes commands and encodes results.
type ServerCodec struct{}

// Decode reads a command.
func (ServerCodec) Decode(r transport.Reader) (base.Cmd[Calculator], error) {
	cmdType, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	a, err := binary.ReadVarint(r)
	if err != nil {
		return nil, err
	}
	b, err := binary.ReadVarint(r)
	if err != nil {
		return nil, err
	}
	switch cmdType {
	case addType:
		return AddCmd{int(a), int(b)}, nil
	case subType:
		return SubCmd{int(a), int(b)}, nil
	}
	return nil, fmt.Errorf("there is no command of type %d", cmdType)
}

// Encode writes a result: its number as a varint.
func (ServerCodec) Encode(result base.Result, w transport.Writer) error {
	number, ok := result.(Result)
	if !ok {
		return fmt.Errorf("a %T is no result of a command here", result)
	}
	_, err := w.Write(binary.AppendVarint(nil, int64(number)))
	return err
}

func appendCmd(data []byte, cmd base.Cmd[Calculator]) ([]byte, error) {
	var cmdType byte
	var a, b int
	switch cmd := cmd.(type) {
	case AddCmd:
		cmdType, a, b = addType, cmd.A, cmd.B
	case SubCmd:
		cmdType, a, b = subType, cmd.A, cmd.B
	default:
		return nil, fmt.Errorf("%T is no command here", cmd)
	}
	data = append(data, cmdType)
	data = binary.AppendVarint(data, int64(a))
	return binary.AppendVarint(data, int64(b)), nil
}
