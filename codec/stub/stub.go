// Package stub is what the files that `cmdstream gen` writes need when they run: it takes
// the errors of an implementation through the connection, so that errors.Is and errors.As
// find in the error of a remote call what they find in that of a local one.
//
//	func usersErrors() stub.Errors {
//		return stub.Errors{Package: "users", Known: []stub.Known{
//			stub.Value("ErrNotFound", ErrNotFound),
//			stub.Type[*QuotaError]("*QuotaError"),
//		}}
//	}
//
// A command returns [Outgoing] of what the implementation has returned, and the client
// returns [Incoming] of what came.
//
// # On the wire
//
// Such an error is an ordinary failure of a command: it has Failed, and its message is the
// error's text. Its code names what is known of it: users.ErrNotFound, or
// users.*QuotaError{},ErrNotFound if it is both. After a space follows the code that it
// would have had otherwise, if any. Where braces mark a type, the message has one line
// more: a JSON array, with the value of each such type in the code.
package stub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/cmdstream/cmdstream/base"
)

// The limits of the wire, in bytes. A list of names that would be longer ends sooner, and
// what a type carries is left out, with its name, where text and data would be too long.
const (
	MaxCode    = 64
	MaxMessage = 32 << 10
)

// Errors are the errors that travel by their names.
type Errors struct {
	// Package is the name of the package that declares them.
	Package string
	// Known are they, those first that matter most: what a code has no room for is at
	// the end.
	Known []Known
}

// Known is one of them, made by [Value] or [Type].
type Known struct {
	name string
	// in looks for it in err's tree; data is what travels besides the name.
	in func(err error) (data json.RawMessage, found bool)
	// restore makes it again.
	restore func(data json.RawMessage) (error, error)
}

// braces mark the name of a type.
const braces = "{}"

func isType(name string) bool { return strings.HasSuffix(name, braces) }

// Value is the error value that a variable of that name holds, found by errors.Is.
func Value(name string, value error) Known {
	return Known{
		name:    name,
		in:      func(err error) (json.RawMessage, bool) { return nil, value != nil && errors.Is(err, value) },
		restore: func(json.RawMessage) (error, error) { return value, nil },
	}
}

// Type is an error type, found by errors.As. Its values travel as JSON does it.
func Type[E error](name string) Known {
	return Known{name: name + braces, in: func(err error) (json.RawMessage, bool) {
		value, found := errors.AsType[E](err)
		if !found {
			return nil, false
		}
		data, err := json.Marshal(value)
		return data, err == nil && !bytes.Equal(data, []byte("null"))
	}, restore: func(data json.RawMessage) (error, error) {
		var value E
		err := json.Unmarshal(data, &value)
		return value, err
	}}
}

// Outgoing is the error that a command returns for one of the implementation: as it is, but
// for what the client has to be told of it. It calls known only for an error.
func Outgoing(err error, known func() Errors) error {
	if err == nil {
		return nil
	}
	text, errs := err.Error(), known()
	failure := &base.Error{Outcome: base.Failed, Message: text}
	var own *base.Error
	switch {
	case errors.As(err, &own) && own != nil:
		failure.Code, failure.RetryAfter = own.Code, own.RetryAfter
	case errors.Is(err, context.DeadlineExceeded):
		failure.Code = base.ErrDeadline
	case errors.Is(err, context.Canceled):
		failure.Code = base.ErrCanceled
	}
	code, data := errs.find(err, MaxMessage-len(text))
	switch {
	case code == "" && own != nil:
		return err
	case code == "" && failure.Code == "":
		return err
	case code != "":
		failure.Code = withOther(errs.Package+"."+code, failure.Code, errs.Package)
	}
	return &outgoing{error: err, failure: failure, data: data}
}

// withOther adds the code that an error would have had otherwise, if there is room for it.
// One of the package itself has nothing to add: the error came from such a client.
func withOther(code string, other base.Code, own string) base.Code {
	if other == "" || strings.HasPrefix(string(other), own+".") || len(code)+1+len(other) > MaxCode {
		return base.Code(code)
	}
	return base.Code(code + " " + string(other))
}

// find returns the names of those in err, and the line with their data, which has at most
// room bytes.
func (e Errors) find(err error, room int) (names, line string) {
	var values []json.RawMessage
	left := MaxCode - len(e.Package) - len(".")
	size := len("\n[]")
	for _, k := range e.Known {
		data, found := k.in(err)
		if !found || len(k.name) > left || isType(k.name) && size+len(data)+1 > room {
			continue
		}
		left -= len(k.name) + 1
		names += "," + k.name
		if isType(k.name) {
			size += len(data) + 1
			values = append(values, data)
		}
	}
	if len(values) > 0 {
		data, err := json.Marshal(values)
		if err != nil { // each of them is JSON already
			return "", ""
		}
		line = "\n" + string(data)
	}
	return strings.TrimPrefix(names, ","), line
}

// outgoing is an error on its way out. Package handler takes code and text of the failure
// from it, and server middleware finds the implementation's own error in its tree.
type outgoing struct {
	error
	failure *base.Error
	data    string
}

func (o *outgoing) Unwrap() []error { return []error{o.failure, o.error} }

// Detail implements base.Detailed: the data come behind all that middleware says.
func (o *outgoing) Detail() string { return o.data }

// Incoming is the error that a client's method returns for one of the call: as it is, but
// with what Outgoing has told of the implementation's in its tree. The [base.Error] is
// there, too. It calls known only for an error.
func Incoming(err error, known func() Errors) error {
	var failure *base.Error
	if !errors.As(err, &failure) || !failure.Remote || failure.Outcome != base.Failed {
		return err // nil, or not of the implementation
	}
	errs := known()
	names, ours := strings.CutPrefix(string(failure.Code), errs.Package+".")
	if !ours {
		if failure.Message == "" && failure.Code == base.ErrExec && error(failure) == err {
			return &incoming{tree: []error{failure}} // its text is empty, as it was
		}
		return err
	}
	names, other, _ := strings.Cut(names, " ")
	text, causes := errs.restore(strings.Split(names, ","), failure.Message)
	if other != "" {
		causes = append(causes, &base.Error{Outcome: base.Failed, Code: base.Code(other), Message: text, Remote: true, RetryAfter: failure.RetryAfter})
	}
	if error(failure) != err { // a middleware has said more
		text = strings.Replace(err.Error(), failure.Message, text, 1)
		return &incoming{text, append([]error{err}, causes...)}
	}
	plain := *failure
	plain.Message = text
	return &incoming{text, append([]error{&plain}, causes...)}
}

// restore returns the text of a message, and what the names stand for. Names that are not
// known here are another version's, and are left out.
func (e Errors) restore(names []string, message string) (text string, causes []error) {
	text = message
	var values []json.RawMessage
	if slices.ContainsFunc(names, isType) {
		end := max(0, strings.LastIndexByte(message, '\n'))
		if json.Unmarshal([]byte(message[end:]), &values) == nil {
			text = message[:end]
		}
	}
	for _, name := range names {
		var data json.RawMessage
		if isType(name) && len(values) > 0 {
			data, values = values[0], values[1:]
		}
		i := slices.IndexFunc(e.Known, func(k Known) bool { return k.name == name })
		if i < 0 {
			continue
		}
		if cause, err := e.Known[i].restore(data); err == nil && cause != nil {
			causes = append(causes, cause)
		}
	}
	return text, causes
}

// incoming is an error as the caller gets it.
type incoming struct {
	text string
	tree []error // the *base.Error, or what a middleware has made of it, and the causes
}

func (i *incoming) Error() string   { return i.text }
func (i *incoming) Unwrap() []error { return i.tree }
