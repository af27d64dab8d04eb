package replaceable

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// clientCodec and serverCodec write commands and results as text: a command is
// its name and its text, a result ends in a full stop if it is the last one.
type clientCodec struct{ encoded, decoded atomic.Int64 }

func (c *clientCodec) Encode(cmd base.Cmd[scribe], w transport.Writer) error {
	var name, text string
	switch cmd := cmd.(type) {
	case upper:
		name, text = "upper", cmd.text
	case split:
		name, text = "split", cmd.text
	case fail:
		name, text = "fail", cmd.text
	case wait:
		name = "wait"
	default:
		return fmt.Errorf("%T is no command", cmd)
	}
	c.encoded.Add(1)
	_, err := w.WriteString(name + " " + text)
	return err
}

func (c *clientCodec) Size(base.Cmd[scribe]) int { return 0 }

func (c *clientCodec) Decode(r transport.Reader) (base.Result, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	c.decoded.Add(1)
	text, last := strings.CutSuffix(string(data), ".")
	return word{text, last}, nil
}

type serverCodec struct{ encoded, decoded atomic.Int64 }

func (c *serverCodec) Encode(result base.Result, w transport.Writer) error {
	word, ok := result.(word)
	if !ok {
		return fmt.Errorf("a %T is no result", result)
	}
	c.encoded.Add(1)
	if _, err := w.WriteString(word.text); err != nil || !word.last {
		return err
	}
	return w.WriteByte('.')
}

func (c *serverCodec) Decode(r transport.Reader) (base.Cmd[scribe], error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	c.decoded.Add(1)
	name, text, _ := strings.Cut(string(data), " ")
	switch name {
	case "upper":
		return upper{text}, nil
	case "split":
		return split{text}, nil
	case "fail":
		return fail{text}, nil
	case "wait":
		return wait{}, nil
	}
	return nil, errors.New("there is no command " + name)
}
