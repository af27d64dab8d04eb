package stub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/codec/stub"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/wire"
)

var (
	errGone = errors.New("gone")
	errFull = errors.New("full")
	errNil  error
)

type quotaError struct {
	Limit int
	Note  string `json:",omitempty"`
}

func (e *quotaError) Error() string { return fmt.Sprintf("the limit is %d", e.Limit) }

type textError string

func (e textError) Error() string { return string(e) }

// oddError can't be sent.
type oddError struct{ Ch chan int }

func (e oddError) Error() string { return "odd" }

func known() stub.Errors {
	return stub.Errors{Package: "mine", Known: []stub.Known{
		stub.Type[*quotaError]("*quotaError"), stub.Type[textError]("textError"), stub.Type[oddError]("oddError"),
		stub.Value("errGone", errGone), stub.Value("errFull", errFull), stub.Value("errNil", errNil),
	}}
}

// Call fails with the receiver's error.
type Call struct{}

func (Call) Run(_ context.Context, receiver error) (int, error) {
	return 1, stub.Outgoing(receiver, known)
}

// call returns the error of a remote call whose implementation returns err.
func call(t *testing.T, err error) error {
	set := codec.NewSet[error](json.Format{})
	codec.Unary[Call](set, 1)
	_, err = cmdstream.Do(t.Context(), cmdstreamtest.New(t, set.Client(), set.Server(), err), Call{})
	return stub.Incoming(err, known)
}

func TestErrorsThroughAConnection(t *testing.T) {
	busy := &base.Error{Code: base.ErrBusy, Message: "there", RetryAfter: time.Second}
	mine := &base.Error{Code: "mine.errOther", Message: "of such a client"}
	for name, test := range map[string]struct {
		err  error
		code base.Code
		is   []error
	}{
		"a value":                     {errGone, "mine.errGone", []error{errGone}},
		"a wrapped value":             {fmt.Errorf("a: %w", fmt.Errorf("b: %w", errGone)), "mine.errGone", []error{errGone}},
		"two values":                  {errors.Join(errFull, errGone), "mine.errGone,errFull", []error{errGone, errFull}},
		"a type":                      {fmt.Errorf("a\nb: %w", &quotaError{Limit: 5}), "mine.*quotaError{}", nil},
		"a type and a value":          {fmt.Errorf("%w, %w", &quotaError{5, "a\nb"}, errGone), "mine.*quotaError{},errGone", []error{errGone}},
		"two types":                   {fmt.Errorf("%w, %w", textError("t"), &quotaError{Limit: 5}), "mine.*quotaError{},textError{}", []error{textError("t")}},
		"a type that can't be sent":   {fmt.Errorf("%w, %w", oddError{make(chan int)}, errGone), "mine.errGone", []error{errGone}},
		"a nil type":                  {fmt.Errorf("nil: %w", nilSafe{}), "exec", nil},
		"none":                        {io.ErrNoProgress, "exec", nil},
		"an empty one":                {errors.New(""), "exec", nil},
		"an empty value":              {empty{}, "mine.errGone", []error{errGone}},
		"a deadline":                  {fmt.Errorf("a: %w", context.DeadlineExceeded), base.ErrDeadline, []error{context.DeadlineExceeded, base.ErrDeadline}},
		"a cancel":                    {fmt.Errorf("a: %w", context.Canceled), base.ErrCanceled, []error{context.Canceled, base.ErrCanceled}},
		"a value and a deadline":      {fmt.Errorf("%w: %w", errGone, context.DeadlineExceeded), "mine.errGone deadline_exceeded", []error{errGone, context.DeadlineExceeded, base.ErrDeadline}},
		"a value and a code":          {fmt.Errorf("%w: %w", errGone, busy), "mine.errGone busy", []error{errGone, base.ErrBusy}},
		"a value and a code of such":  {fmt.Errorf("%w: %w", errGone, mine), "mine.errGone", []error{errGone}},
		"a value and a code too long": {fmt.Errorf("%w: %w", errGone, &base.Error{Code: base.Code(strings.Repeat("x", 60)), Message: "m"}), "mine.errGone", []error{errGone}},
		"a long text":                 {fmt.Errorf("%s%w", strings.Repeat("x", 30000), &quotaError{Limit: 5}), "mine.*quotaError{}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := call(t, test.err)
			if err == nil || err.Error() != test.err.Error() {
				t.Errorf("the text is %q, want %q", err, test.err)
			}
			e, ok := errors.AsType[*base.Error](err)
			if !ok || base.OutcomeOf(err) != base.Failed || e.Code != test.code || !e.Remote || e.Seq != 1 || e.Message != test.err.Error() {
				t.Fatalf("it is %#v, want the code %q", e, test.code)
			}
			is := func(target error) bool {
				for _, one := range test.is {
					if one == target {
						return true
					}
				}
				return false
			}
			for _, target := range []error{errGone, errFull, textError("t"), context.DeadlineExceeded, context.Canceled, base.ErrBusy, base.ErrDeadline, base.ErrCanceled} {
				if errors.Is(err, target) != is(target) {
					t.Errorf("errors.Is of %v is %v", target, !is(target))
				}
			}
			want, _ := errors.AsType[*quotaError](test.err)
			if got, found := errors.AsType[*quotaError](err); found != (want != nil) || found && *got != *want {
				t.Errorf("it carries %v, want %v", got, want)
			}
		})
	}
}

// nilSafe has a nil pointer in its tree.
type nilSafe struct{}

func (nilSafe) Error() string { return "safe" }
func (nilSafe) Unwrap() error { return (*quotaError)(nil) }

// empty has no text.
type empty struct{}

func (empty) Error() string { return "" }
func (empty) Unwrap() error { return errGone }

// The error of a call through two servers is the same as through one.
func TestErrorsThroughTwoConnections(t *testing.T) {
	err := fmt.Errorf("a: %w, %w", &quotaError{Limit: 5}, errGone)
	twice := call(t, call(t, err))
	quota, ok := errors.AsType[*quotaError](twice)
	if !errors.Is(twice, errGone) || !ok || quota.Limit != 5 || twice.Error() != err.Error() {
		t.Errorf("got %v", twice)
	}
	if e, _ := errors.AsType[*base.Error](twice); e.Code != "mine.*quotaError{},errGone" {
		t.Errorf("its code is %s", e.Code)
	}
}

func TestLimits(t *testing.T) {
	failure := func(err error, known func() stub.Errors) *base.Error {
		e, _ := errors.AsType[*base.Error](stub.Outgoing(err, known))
		return e
	}
	if stub.MaxCode != wire.MaxCode || stub.MaxMessage != wire.MaxMessage {
		t.Errorf("they are not those of the wire")
	}
	// Where text and data would be too long for a failure, the data is left out.
	long := fmt.Errorf("%s%w, %w", strings.Repeat("x", stub.MaxMessage-20), &quotaError{Limit: 5}, errGone)
	if e := failure(long, known); e.Code != "mine.errGone" || e.Message != long.Error() {
		t.Errorf("the code is %q, the message has %d bytes", e.Code, len(e.Message))
	}
	if out := stub.Outgoing(long, known); len(out.Error()) > stub.MaxMessage {
		t.Errorf("its text has %d bytes", len(out.Error()))
	}
	// As many names go into a code as there is room for.
	many := func() stub.Errors {
		e := stub.Errors{Package: "mine"}
		for i := range 9 {
			e.Known = append(e.Known, stub.Value(fmt.Sprintf("errNumber%d", i), errGone))
		}
		return e
	}
	if e := failure(errGone, many); e.Code != "mine.errNumber0,errNumber1,errNumber2,errNumber3,errNumber4" || len(e.Code) > stub.MaxCode {
		t.Errorf("the code is %q", e.Code)
	}
}

// A peer of another version, or one that is broken, has names and data of its own.
func TestIncomingFromOthers(t *testing.T) {
	for name, test := range map[string]struct {
		code          base.Code
		message, text string
		gone, quota   bool
	}{
		"an unknown value":      {"mine.errNew,errGone", "t", "t", true, false},
		"an unknown type":       {"mine.newError{},*quotaError{}", "t\n[{},{\"Limit\":5}]", "t", false, true},
		"a type without data":   {"mine.*quotaError{},errGone", "t", "t", true, false},
		"a type with other":     {"mine.*quotaError{},errGone", "t\n[7]", "t", true, false},
		"data that is no array": {"mine.*quotaError{},errGone", "t\n{}", "t\n{}", true, false},
		"nothing but data":      {"mine.*quotaError{}", "\n[{\"Limit\":5}]", "", false, true},
		"no names":              {"mine.", "t", "t", false, false},
		"a value with a line":   {"mine.errGone", "t\n[{}]", "t\n[{}]", true, false},
	} {
		err := stub.Incoming(&base.Error{Outcome: base.Failed, Remote: true, Code: test.code, Message: test.message}, known)
		quota, found := errors.AsType[*quotaError](err)
		if err.Error() != test.text || errors.Is(err, errGone) != test.gone || found != test.quota || found && quota.Limit != 5 {
			t.Errorf("%s: %q, %v, %v", name, err, errors.Is(err, errGone), quota)
		}
	}
}

// What does not come from an implementation is left alone.
func TestIncomingLeavesAlone(t *testing.T) {
	for _, err := range []error{
		nil, io.EOF,
		&base.Error{Outcome: base.Unknown, Remote: true, Code: "mine.errGone", Message: "t"},
		&base.Error{Outcome: base.Failed, Code: "mine.errGone", Message: "t"},
		&base.Error{Outcome: base.Failed, Remote: true, Code: base.ErrPanic, Message: "t"},
		&base.Error{Outcome: base.Failed, Remote: true, Code: "other.errGone", Message: "t"},
		&base.Error{Outcome: base.Failed, Remote: true, Code: base.ErrPanic},
	} {
		if got := stub.Incoming(err, known); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	if stub.Outgoing(nil, nil) != nil || stub.Incoming(nil, nil) != nil {
		t.Error("no error is one")
	}
}

// Middleware at the server sees the text alone, and may say more before and behind it.
func TestMiddlewareMaySayMore(t *testing.T) {
	seen := make(chan string, 1)
	more := func(next handler.Invoker[error]) handler.Invoker[error] {
		return handler.InvokerFunc[error](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[error], proxy base.Proxy) error {
			err := next.Invoke(ctx, at, seq, cmd, proxy)
			seen <- err.Error()
			return fmt.Errorf("ann: %w (of shop)", err)
		})
	}
	set := codec.NewSet[error](json.Format{})
	codec.Unary[Call](set, 1)
	implementation := fmt.Errorf("over: %w", &quotaError{Limit: 5})
	c := cmdstreamtest.New(t, set.Client(), set.Server(), implementation, cmdstreamtest.Conf[error]{
		Server: server.Conf[error]{Use: []handler.Middleware[error]{more}},
	})
	_, err := cmdstream.Do(t.Context(), c, Call{})
	err = stub.Incoming(err, known)
	if want := "ann: " + implementation.Error() + " (of shop)"; err.Error() != want {
		t.Errorf("the client got %q, want %q", err, want)
	}
	if quota, ok := errors.AsType[*quotaError](err); !ok || quota.Limit != 5 {
		t.Errorf("it carries %v", quota)
	}
	if got := <-seen; got != implementation.Error() {
		t.Errorf("the middleware saw %q", got)
	}
}
