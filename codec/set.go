package codec

import (
	"fmt"
	"reflect"
	"sync"
	"unicode/utf8"

	"github.com/cmdstream/cmdstream/internal/catalogue"
)

// DefaultLimit is how many bytes the body of a command or a result may have
// where [Set.Limit] says nothing else: 64 MiB.
const DefaultLimit = 64 << 20

// Set is a set of typed commands for a receiver of type T. It is built by
// [Unary], [Stream] and [Exchange], and closed to further commands by its first
// [Set.Client] or [Set.Server]. Its methods may be used by many goroutines at
// once.
type Set[T any] struct {
	format  Format
	scratch scratchPool

	// mu protects what follows while the set is built. Once used is true none of
	// it changes, and the codecs read it without the lock.
	mu      sync.Mutex
	used    bool
	limit   int
	byTag   map[uint64]*command[T]
	byType  map[reflect.Type]*command[T] // by the type of the adapter, a base.Cmd
	results map[reflect.Type]appender    // by the type of the base.Result
	values  map[reflect.Type]any         // *values[V] by V

	ignoreFields bool
	reflects     bool

	listing sync.Once
	listed  []catalogue.Entry // the commands, by tag; made when they are asked for
}

// NewSet returns an empty set whose commands and results travel in the given
// format. It panics without one.
func NewSet[T any](format Format) *Set[T] {
	if format == nil {
		panic("codec: NewSet needs a format, such as json.Format{}, and got nil")
	}
	return &Set[T]{
		format:  format,
		limit:   DefaultLimit,
		byTag:   make(map[uint64]*command[T]),
		byType:  make(map[reflect.Type]*command[T]),
		results: make(map[reflect.Type]appender),
		values:  make(map[reflect.Type]any),
	}
}

// Limit sets how many bytes the body of one command or result may have, in both
// directions: more is neither sent nor read. It is a bound of the codec's own
// beside those that client and server keep. It panics for less than 1, and once
// the set is in use.
func (s *Set[T]) Limit(bytes int) {
	if bytes < 1 {
		panic(fmt.Sprintf("codec: a limit of %d bytes allows nothing", bytes))
	}
	s.configure("the limit", func() { s.limit = bytes })
}

// Client returns the codec for a client.
func (s *Set[T]) Client() *ClientCodec[T] {
	s.use()
	return &ClientCodec[T]{set: s}
}

// Server returns the codec for a server.
func (s *Set[T]) Server() *ServerCodec[T] {
	s.use()
	return &ServerCodec[T]{set: s}
}

func (s *Set[T]) use() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = true
}

// add takes a command in, or panics. A program with a wrong set can't do
// anything useful, so there is no error to return.
func (s *Set[T]) add(added *command[T], result reflect.Type) {
	if s.used {
		panic(fmt.Sprintf("codec: %s (tag %d) comes too late: the set is in use, Client or Server was called", added.name(), added.tag))
	}
	if added.tag == 0 {
		panic(fmt.Sprintf("codec: %s has the tag 0, which is reserved: tags begin with 1", added.name()))
	}
	if taken := s.byTag[added.tag]; taken != nil {
		panic(fmt.Sprintf("codec: %s and %s have the same tag %d", taken.name(), added.name(), added.tag))
	}
	if name := added.own; added.hasOwn && (name == "" || len(name) > catalogue.MaxName || !utf8.ValidString(name)) {
		panic(fmt.Sprintf("codec: the CommandName of %s (tag %d) has %d bytes: 1 to %d of UTF-8 are allowed", added.name(), added.tag, len(name), catalogue.MaxName))
	}
	if len(s.byTag) == catalogue.MaxCommands {
		panic(fmt.Sprintf("codec: %s (tag %d) is one too many: a set has %d commands at most", added.name(), added.tag, catalogue.MaxCommands))
	}
	if other := s.byType[added.adapter]; other != nil {
		panic(fmt.Sprintf("codec: %s has two tags, %d and %d", added.name(), other.tag, added.tag))
	}
	if checker, ok := s.format.(Checker); ok {
		if err := checker.Check(added.inner); err != nil {
			panic(fmt.Sprintf("codec: the command %s (tag %d): %v", added.name(), added.tag, err))
		}
		if err := checker.Check(result); err != nil {
			panic(fmt.Sprintf("codec: the result of %s (tag %d): %v", added.name(), added.tag, err))
		}
		if added.input != nil {
			if err := checker.Check(added.input); err != nil {
				panic(fmt.Sprintf("codec: the input of %s (tag %d): %v", added.name(), added.tag, err))
			}
		}
	}
	added.result = result
	s.byTag[added.tag] = added
	s.byType[added.adapter] = added
}
