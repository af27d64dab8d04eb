package replaceable

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// jsonLines is a wire of lines of JSON: one for each hello, and for each
// message. A person can read it, and a script can speak it.
type jsonLines struct{ transport.Options }

func newJSONLines(o transport.Options) transport.Transport { return jsonLines{o} }

type helloLine struct {
	Info          []byte           `json:",omitempty"`
	MaxResultSize int              `json:",omitempty"`
	Status        transport.Status `json:",omitempty"`
	Text          string           `json:",omitempty"`
	RetryAfter    time.Duration    `json:",omitempty"`
	MaxCmdSize    int              `json:",omitempty"`
	MaxInFlight   int              `json:",omitempty"`
}

type messageLine struct {
	Kind       string
	Slot       int           `json:",omitempty"`
	Seq        base.Seq      `json:",omitempty"`
	Last       bool          `json:",omitempty"`
	Timeout    time.Duration `json:",omitempty"`
	Credit     int           `json:",omitempty"`
	Body       []byte        `json:",omitempty"`
	Outcome    base.Outcome  `json:",omitempty"`
	Code       base.Code     `json:",omitempty"`
	Text       string        `json:",omitempty"`
	RetryAfter time.Duration `json:",omitempty"`
}

var kindNames = map[transport.Kind]string{
	transport.Ping: "ping", transport.Command: "command", transport.Result: "result", transport.Failure: "failure",
	transport.Cancel: "cancel", transport.Credit: "credit", transport.Goaway: "goaway",
}

func (jsonLines) Supports(kind transport.Kind) bool { return kindNames[kind] != "" }

func (jsonLines) AppendHello(dst []byte, h *transport.Hello) ([]byte, error) {
	return appendLine(dst, helloLine{
		Info: h.Info, MaxResultSize: h.MaxResultSize,
		Status: h.Status, Text: h.Text, RetryAfter: h.RetryAfter,
		MaxCmdSize: h.Settings.MaxCmdSize, MaxInFlight: h.Settings.MaxInFlight,
	})
}

func (jsonLines) ReadHello(r *bufio.Reader, h *transport.Hello) error {
	var line helloLine
	if err := readLine(r, 8<<10, &line); err != nil {
		return err
	}
	*h = transport.Hello{
		Info: line.Info, MaxResultSize: line.MaxResultSize,
		Status: line.Status, Text: line.Text, RetryAfter: line.RetryAfter,
		Settings: transport.ServerSettings{MaxCmdSize: line.MaxCmdSize, MaxInFlight: line.MaxInFlight},
	}
	return nil
}

func (jsonLines) Append(dst []byte, m *transport.Message) (out, tail []byte, more bool) {
	line := messageLine{
		Kind: kindNames[m.Kind], Slot: m.Slot, Seq: m.Seq, Last: m.Last, Timeout: m.Timeout,
		Credit: m.Credit, Body: m.Body, Text: m.Reason, RetryAfter: m.RetryAfter,
	}
	if m.Err != nil {
		line.Outcome, line.Code, line.Text, line.RetryAfter = m.Err.Outcome, m.Err.Code, m.Err.Message, m.Err.RetryAfter
	}
	out, err := appendLine(dst, line)
	if err != nil {
		panic(err) // numbers, strings and bytes always encode
	}
	return out, nil, false
}

func (j jsonLines) Read(r *bufio.Reader, m *transport.Message) error {
	var line messageLine
	if err := readLine(r, 2*j.MaxBody+1024, &line); err != nil {
		return err
	}
	*m = transport.Message{
		Slot: line.Slot, Seq: line.Seq, Last: line.Last, Timeout: line.Timeout,
		Credit: line.Credit, Body: line.Body,
	}
	known := false
	for kind, name := range kindNames {
		if name == line.Kind {
			m.Kind, known = kind, true
		}
	}
	switch {
	case !known:
		return transport.BrokenRule("there is no kind of message %q", line.Kind)
	case line.Slot < 0 || line.Slot >= j.MaxSlots:
		return transport.BrokenRule("there is no slot %d", line.Slot)
	case m.Kind == transport.Failure:
		m.Err = &base.Error{Outcome: line.Outcome, Code: line.Code, Message: line.Text, Remote: true, RetryAfter: line.RetryAfter}
	case m.Kind == transport.Goaway:
		m.Reason, m.RetryAfter = line.Text, line.RetryAfter
	}
	return nil
}

func appendLine(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	return append(append(dst, data...), '\n'), nil
}

// readLine reads one line of limit bytes at most into v.
func readLine(r *bufio.Reader, limit int, v any) error {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case len(line) > limit:
			return transport.BrokenRule("a line has more than %d bytes", limit)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
		if err := json.Unmarshal(line, v); err != nil {
			return transport.BrokenRule("a line is not what it should be: %v", err)
		}
		return nil
	}
}
