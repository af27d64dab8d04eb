package codec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/internal/catalogue"
	"github.com/cmdstream/cmdstream/internal/fields"
	"github.com/cmdstream/cmdstream/transport"
)

// Client and server find out at connect which commands they have in common: the server
// tells of each its tag, its name and a hash of how it reads it. A command that the server
// lacks or reads differently is refused at the client, and all others work, so that the
// two may be deployed in any order.

// IgnoreFields has commands match by tag and name alone, whatever their fields: for formats
// that skip a field that they don't know, in teams that only ever add some. It is for the
// client's set, and panics once that is in use.
func (s *Set[T]) IgnoreFields() { s.configure("IgnoreFields", func() { s.ignoreFields = true }) }

// Reflect lets clients that do not know the commands ask for their fields and run them by
// name and JSON, as the tool cmdstream does: see package codec/reflection. Whoever may
// connect may do so. It is for the server's set, and panics once that is in use.
func (s *Set[T]) Reflect() { s.configure("Reflect", func() { s.reflects = true }) }

func (s *Set[T]) configure(what string, do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used {
		panic("codec: " + what + " comes too late: the set is in use, Client or Server was called")
	}
	do()
}

// entries returns what the set says of its commands, by tag. The set is in use.
func (s *Set[T]) entries() []catalogue.Entry {
	s.listing.Do(func() {
		for _, tag := range slices.Sorted(maps.Keys(s.byTag)) {
			c := s.byTag[tag]
			s.listed = append(s.listed, catalogue.Entry{Tag: tag, Name: c.fullName(), Hash: s.hash(c)})
		}
	})
	return s.listed
}

// fullName is the command's name as the catalogue has it.
func (c *command[T]) fullName() string {
	if c.hasOwn {
		return c.own
	}
	name := strings.TrimPrefix(c.name(), "*")
	if len(name) > catalogue.MaxName { // of a generic type
		name = fmt.Sprintf("%s…%x", strings.ToValidUTF8(name[:catalogue.MaxName/2], ""), sha256.Sum256([]byte(shortName(name))))
	}
	return name
}

// askName asks a zero command that is base.Named for its name. One that panics has none: its
// method may be that of an embedded pointer, which is nil here.
func (c *command[T]) askName() {
	defer func() {
		if recover() != nil {
			c.own, c.hasOwn = "", false
		}
	}()
	named, is := reflect.Zero(c.inner).Interface().(base.Named)
	if !is || c.inner.Kind() == reflect.Pointer {
		named, is = reflect.New(elem(c.inner)).Interface().(base.Named)
	}
	if is {
		c.own, c.hasOwn = named.CommandName(), true
	}
}

func elem(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// shortName is a name without the package: that may be main at one side.
func shortName(name string) string {
	return packages.ReplaceAllString(name, "")
}

// packages are those in a name, also of type arguments.
var packages = regexp.MustCompile(`[^][,*{} ]*[./]`)

// hash is of how a command is read: two programs with the same hash read it alike.
func (s *Set[T]) hash(c *command[T]) (hash [8]byte) {
	describe := fields.Go.Describe
	if d, ok := s.format.(Describer); ok {
		describe = d.Describe
	}
	format := reflect.TypeOf(s.format)
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s %s", format, c.kind(), describe(c.inner), describe(c.result))
	if c.input != nil {
		io.WriteString(h, " "+describe(c.input))
	}
	copy(hash[:], h.Sum(nil))
	return hash
}

func (c *command[T]) kind() string {
	switch {
	case c.input != nil:
		return "exchange"
	case c.streams:
		return "stream"
	}
	return "unary"
}

// maxList is how many bytes a catalogue may have, which is not held against Set.Limit.
const maxList = 4 << 20

// maxInHello is how many bytes of a hello the catalogue may have.
const maxInHello = 6 << 10

// Catalogue is what a server says of its commands in its hello.
func (c *ServerCodec[T]) Catalogue() []byte {
	if list := catalogue.Append(nil, c.set.entries()); len(list) <= maxInHello {
		return list
	}
	return catalogue.Asked
}

// Agree reads what a server says of its commands. It returns a function that refuses the
// commands that the server lacks or reads differently; nil: there are none, or the server
// says nothing. If ask is not nil, the server is to be asked by that command, and its
// result has a method Bytes, which returns what Agree is to read.
func (c *ClientCodec[T]) Agree(says []byte) (refuse func(cmd base.Cmd[T]) error, ask base.Cmd[T], err error) {
	entries, asked, err := catalogue.Parse(says)
	switch {
	case err != nil:
		return nil, nil, err
	case asked:
		return nil, question[T]{body: []byte{catalogue.List}}, nil
	case entries == nil:
		return nil, nil, nil
	}
	theirs := make(map[uint64]catalogue.Entry, len(entries))
	for _, e := range entries {
		theirs[e.Tag] = e
	}
	refused := make(map[reflect.Type]error)
	for _, mine := range c.set.entries() {
		if message := c.set.differs(mine, theirs); message != "" {
			known := c.set.byTag[mine.Tag]
			refused[known.adapter] = known.fail(base.Rejected, base.ErrUnknownCmd, message, nil)
		}
	}
	if len(refused) == 0 {
		return nil, nil, nil
	}
	return func(cmd base.Cmd[T]) error { return refused[reflect.TypeOf(cmd)] }, nil, nil
}

// differs says why a command can't go to a server with theirs; "": it can.
func (s *Set[T]) differs(mine catalogue.Entry, theirs map[uint64]catalogue.Entry) string {
	their, has := theirs[mine.Tag]
	switch {
	case !has:
		return fmt.Sprintf("the server has no command with the tag %d, which is %s here: it is older or newer than this client", mine.Tag, mine.Name)
	case shortName(their.Name) != shortName(mine.Name):
		return fmt.Sprintf("with the tag %d the server has %s, and this client %s", mine.Tag, their.Name, mine.Name)
	case their.Hash != mine.Hash && !s.ignoreFields:
		return fmt.Sprintf("the server's %s and this client's %s (tag %d) differ in their fields, their results or their format", their.Name, mine.Name, mine.Tag)
	}
	return ""
}

// question is the reserved command, as a client sends it.
type question[T any] struct{ body []byte }

// Exec is never called: a server decodes another type.
func (question[T]) Exec(context.Context, time.Time, base.Seq, T, base.Proxy) error {
	return errors.New("codec: a question is run at a server")
}

// listing is the question for the catalogue, or for the description, as a server runs it.
type listing[T any] struct {
	set  *Set[T]
	what byte
}

func (l listing[T]) Exec(_ context.Context, _ time.Time, seq base.Seq, _ T, proxy base.Proxy) error {
	text := catalogue.Append(nil, l.set.entries())
	if l.what == catalogue.Describe {
		var err error
		if text, err = json.Marshal(l.set.describe()); err != nil {
			return err
		}
	}
	return proxy.Send(seq, answer{text: text, last: true, list: l.what == catalogue.List})
}

// describe is what the set tells of itself.
func (s *Set[T]) describe() reflection.Description {
	d := reflection.Description{Format: reflect.TypeOf(s.format).String(), Reflection: s.reflects}
	typeOf := reflection.TypeOf
	if typed, ok := s.format.(Typed); ok {
		typeOf = typed.JSONType
	}
	for _, e := range s.entries() {
		c := s.byTag[e.Tag]
		told := reflection.Command{Tag: e.Tag, Name: e.Name, Kind: c.kind()}
		if s.reflects {
			told.Body, told.Result = typeOf(c.inner), typeOf(c.result)
			if c.input != nil {
				told.Input = typeOf(c.input)
			}
		}
		d.Commands = append(d.Commands, told)
	}
	return d
}

// called is a command C that came by its name and as JSON.
type called[T, C any] struct {
	cmd   base.Cmd[T]
	known *command[T]
}

// Inner is the command, whose name it has.
func (c called[T, C]) Inner() any { return c.cmd }

func (c called[T, C]) Exec(ctx context.Context, at time.Time, seq base.Seq, receiver T, proxy base.Proxy) error {
	return c.cmd.Exec(ctx, at, seq, receiver, jsonProxy[T]{proxy, c.known})
}

// jsonProxy sends the results as JSON.
type jsonProxy[T any] struct {
	base.Proxy
	known *command[T]
}

func (p jsonProxy[T]) Send(seq base.Seq, result base.Result) error {
	if _, end := result.(base.End); end {
		return p.Proxy.Send(seq, result)
	}
	text, err := p.known.resultToJSON(result)
	if err != nil {
		return p.known.fail(base.Failed, base.ErrEncode, "its result can't be written as JSON", err)
	}
	return p.Proxy.Send(seq, answer{text: text, last: result.LastOne()})
}

// answer is the result of a question.
type answer struct {
	text []byte
	last bool
	list bool // it is the catalogue, which a client can't do without, whatever the set's limit
}

func (a answer) LastOne() bool { return a.last }

// Bytes is what the server said.
func (a answer) Bytes() []byte { return a.text }

// decodeQuestion makes the command of a question, at a server.
func (s *Set[T]) decodeQuestion(r transport.Reader) (base.Cmd[T], error) {
	reject := func(code base.Code, message string, err error) (base.Cmd[T], error) {
		return nil, &base.Error{Outcome: base.Rejected, Code: code, Message: message, Err: err}
	}
	n, err := readUvarint(r)
	if err != nil {
		return nil, readError("", "length of a question", base.Rejected, err)
	}
	if n > uint64(s.limit) {
		return reject(base.ErrTooLargeCmd, tooLarge(n, s.limit), nil)
	}
	lent := s.scratch.get()
	defer s.scratch.put(lent)
	body, err := lent.read(r, int(n))
	switch {
	case err != nil:
		return nil, readError("", "question", base.Rejected, err)
	case len(body) == 1 && (body[0] == catalogue.List || body[0] == catalogue.Describe):
		return listing[T]{s, body[0]}, nil
	case len(body) == 0 || body[0] != catalogue.Call:
		return reject(base.ErrUnknownCmd, "the set has no command with the tag 0: it is a question that this server does not know", nil)
	case !s.reflects:
		return reject(base.ErrUnsupported, "this server runs no commands by name: its set has not called Reflect", nil)
	}
	name, text, err := catalogue.CutName(body[1:])
	if err != nil {
		return reject(base.ErrDecode, "the question can't be read", err)
	}
	known, err := s.named(name)
	if err != nil {
		return reject(base.ErrUnknownCmd, err.Error(), nil)
	}
	if known.input != nil {
		return nil, known.fail(base.Rejected, base.ErrUnsupported, "it is sent inputs while it runs, which can't be given as JSON", nil)
	}
	cmd, err := known.fromJSON(bytes.Clone(text))
	if err != nil {
		return nil, known.fail(base.Rejected, base.ErrDecode, "its JSON can't be read", err)
	}
	if known.isNil(cmd) {
		return nil, known.fail(base.Rejected, base.ErrNilCmd, "its JSON stands for a nil pointer", nil)
	}
	return known.call(cmd), nil
}

// named finds a command by its name, with the package or without.
func (s *Set[T]) named(name string) (found *command[T], err error) {
	for _, e := range s.entries() {
		if e.Name == name {
			return s.byTag[e.Tag], nil
		}
	}
	for _, e := range s.entries() {
		switch {
		case shortName(e.Name) != name:
		case found != nil:
			return nil, fmt.Errorf("the set has %s and %s: say which, with its package", found.fullName(), e.Name)
		default:
			found = s.byTag[e.Tag]
		}
	}
	if found == nil {
		return nil, fmt.Errorf("the set has no command of the name %q", name)
	}
	return found, nil
}
