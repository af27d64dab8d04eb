package codec

import (
	"fmt"
	"reflect"

	"github.com/cmdstream/cmdstream/base"
)

// command is what a set knows of one command. Its functions know the types that
// the set can't name.
type command[T any] struct {
	tag     uint64
	inner   reflect.Type // C
	own     string       // C's CommandName
	hasOwn  bool
	adapter reflect.Type // base.Unary[T, R, C], base.Stream[T, R, C] or base.Exchange[T, I, R, C]
	input   reflect.Type // I of a base.Exchange; else nil
	result  reflect.Type // R
	streams bool

	isNil        func(cmd base.Cmd[T]) bool
	appendTo     func(dst []byte, cmd base.Cmd[T]) ([]byte, error)
	decode       func(data []byte) (base.Cmd[T], error)
	decodeResult func(data []byte) (base.Result, error)
	appendInput  func(dst []byte, input any) ([]byte, error)
	decodeInput  func(data []byte) (any, error)
	fromJSON     func(data []byte) (base.Cmd[T], error)
	resultToJSON func(result base.Result) ([]byte, error)
	call         func(cmd base.Cmd[T]) base.Cmd[T] // as a command that came as JSON
}

func (c *command[T]) name() string { return c.inner.String() }

// appender appends the value of a result to dst.
type appender func(dst []byte, result base.Result) ([]byte, error)

// Unary registers the command C, whose Run returns one result, under a tag. T
// and R follow from the arguments:
//
//	codec.Unary[Add](set, 1)
//
// It panics for the tag 0, for a tag or a command that the set already has, for
// a type that the format can't carry (see [Checker]), and once the set is in
// use. A type that has both Run and Stream may be registered once as each.
func Unary[C base.Runner[T, R], T, R any](set *Set[T], tag uint64) {
	type adapter = base.Unary[T, R, C]
	type value = base.Value[R]
	register(set, forms[T, R, C]{
		command: command[T]{tag: tag, adapter: reflect.TypeFor[adapter]()},
		wrap:    func(c C) base.Cmd[T] { return adapter{Cmd: c} },
		unwrap:  func(cmd base.Cmd[T]) C { return cmd.(adapter).Cmd },

		result:       reflect.TypeFor[value](),
		wrapResult:   func(r R) base.Result { return value{V: r} },
		unwrapResult: func(result base.Result) R { return result.(value).V },
	})
}

// Stream registers the command C, whose Stream sends any number of results,
// under a tag, like [Unary].
func Stream[C base.Streamer[T, R], T, R any](set *Set[T], tag uint64) {
	type adapter = base.Stream[T, R, C]
	type item = base.Item[R]
	register(set, forms[T, R, C]{
		command: command[T]{tag: tag, adapter: reflect.TypeFor[adapter](), streams: true},
		wrap:    func(c C) base.Cmd[T] { return adapter{Cmd: c} },
		unwrap:  func(cmd base.Cmd[T]) C { return cmd.(adapter).Cmd },

		result:       reflect.TypeFor[item](),
		wrapResult:   func(r R) base.Result { return item{V: r} },
		unwrapResult: func(result base.Result) R { return result.(item).V },
	})
}

// Exchange registers the command C, which is sent inputs while it runs, under a tag,
// like [Unary].
func Exchange[C base.Exchanger[T, I, R], T, I, R any](set *Set[T], tag uint64) {
	type adapter = base.Exchange[T, I, R, C]
	type item = base.Item[R]
	inputs := lockedValuesOf[I](set)
	register(set, forms[T, R, C]{
		command: command[T]{
			tag: tag, adapter: reflect.TypeFor[adapter](), streams: true, input: reflect.TypeFor[I](),
			appendInput: func(dst []byte, input any) ([]byte, error) {
				v, ok := input.(I)
				if !ok {
					return dst, fmt.Errorf("the input is a %T, not a %s", input, reflect.TypeFor[I]())
				}
				return inputs.appendTo(dst, v)
			},
			decodeInput: func(data []byte) (any, error) { return inputs.decode(data) },
		},
		wrap:   func(c C) base.Cmd[T] { return adapter{Cmd: c} },
		unwrap: func(cmd base.Cmd[T]) C { return cmd.(adapter).Cmd },

		result:       reflect.TypeFor[item](),
		wrapResult:   func(r R) base.Result { return item{V: r} },
		unwrapResult: func(result base.Result) R { return result.(item).V },
	})
}

// lockedValuesOf is valuesOf for a caller that does not hold the set's mu.
func lockedValuesOf[V, T any](set *Set[T]) *values[V] {
	set.mu.Lock()
	defer set.mu.Unlock()
	return valuesOf[V](set)
}

// forms is how a typed command and its results become base.Cmd and base.Result,
// and back.
type forms[T, R, C any] struct {
	command      command[T]
	wrap         func(C) base.Cmd[T]
	unwrap       func(base.Cmd[T]) C
	result       reflect.Type
	wrapResult   func(R) base.Result
	unwrapResult func(base.Result) R
}

func register[T, R, C any](set *Set[T], f forms[T, R, C]) {
	f.command.inner = reflect.TypeFor[C]()
	f.command.askName() // before the lock, for it is the user's code
	set.mu.Lock()
	defer set.mu.Unlock()
	commands, results := valuesOf[C](set), valuesOf[R](set)
	added := f.command
	added.isNil = func(cmd base.Cmd[T]) bool {
		return commands.isNil(f.unwrap(cmd))
	}
	added.appendTo = func(dst []byte, cmd base.Cmd[T]) ([]byte, error) {
		return commands.appendTo(dst, f.unwrap(cmd))
	}
	added.decode = func(data []byte) (base.Cmd[T], error) {
		c, err := commands.decode(data)
		if err != nil {
			return nil, err
		}
		return f.wrap(c), nil
	}
	added.decodeResult = func(data []byte) (base.Result, error) {
		r, err := results.decode(data)
		if err != nil {
			return nil, err
		}
		return f.wrapResult(r), nil
	}
	added.fromJSON = func(data []byte) (base.Cmd[T], error) {
		c, err := commands.fromJSON(data)
		if err != nil {
			return nil, err
		}
		return f.wrap(c), nil
	}
	added.call = func(cmd base.Cmd[T]) base.Cmd[T] { return called[T, C]{cmd, &added} }
	added.resultToJSON = func(result base.Result) ([]byte, error) {
		if reflect.TypeOf(result) != f.result {
			return nil, fmt.Errorf("the result is a %T, not a %s", result, f.result)
		}
		return results.toJSON(f.unwrapResult(result))
	}
	set.add(&added, reflect.TypeFor[R]())
	set.results[f.result] = func(dst []byte, result base.Result) ([]byte, error) {
		return results.appendTo(dst, f.unwrapResult(result))
	}
}
