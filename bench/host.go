package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A host is where a server runs: in this process or in one of its own.
type host interface {
	addr() string
	// ask has what the process of the server says of itself; of a server in this process
	// nothing, as this process is counted anyway.
	ask(q question) (counters, error)
	close()
}

// A question is asked of a server's process.
type question string

const (
	askCounters question = "counters"
	askSettle   question = "settle" // collect garbage first
	askWatch    question = "watch"  // collect, and look at the memory from now on
)

// answer is what a process says of itself.
func (q question) answer() counters {
	switch q {
	case askSettle:
		settle()
	case askWatch:
		settle()
		watch() // for the rest of the process's life
	}
	return readCounters()
}

type localHost struct{ server *systems.Server }

func (h localHost) addr() string                   { return h.server.Addr }
func (h localHost) ask(question) (counters, error) { return counters{}, nil }
func (h localHost) close()                         { h.server.Close() }

// An order is the first line that a server's process reads; questions follow.
type order struct {
	System string
	Conf   systems.Conf
}

// A notice is a line that it writes.
type notice struct {
	Addr     string `json:",omitempty"`
	Error    string `json:",omitempty"`
	Counters counters
}

const (
	startTime  = 20 * time.Second // for a server to start
	answerTime = 30 * time.Second // for it to answer a question
)

// processHost is a server in a process of its own.
type processHost struct {
	process *process
	address string
}

// serveApart starts a server in a process of its own, and waits until it listens.
func serveApart(system string, conf systems.Conf) (*processHost, error) {
	p, err := startProcess(serveArgument)
	if err != nil {
		return nil, err
	}
	var n notice
	err = p.ask(order{system, conf}, &n, startTime)
	if err == nil && n.Error != "" {
		err = errors.New(n.Error)
	}
	if err != nil {
		p.end()
		return nil, fmt.Errorf("the server's process: %w", err)
	}
	return &processHost{process: p, address: n.Addr}, nil
}

func (h *processHost) addr() string { return h.address }
func (h *processHost) close()       { h.process.end() }

func (h *processHost) ask(q question) (counters, error) {
	var n notice
	err := h.process.ask(q, &n, answerTime)
	return n.Counters, err
}

// serve is the life of a server's process: an order, then questions until they end, and
// with them the process and all that the server has.
func serve(in *json.Decoder, out *json.Encoder) {
	var o order
	if err := in.Decode(&o); err != nil {
		return
	}
	system, err := systems.ByName(o.System)
	if err != nil {
		out.Encode(notice{Error: err.Error()})
		return
	}
	server, err := system.Serve(o.Conf)
	if err != nil {
		out.Encode(notice{Error: err.Error()})
		return
	}
	out.Encode(notice{Addr: server.Addr})
	var q question
	for in.Decode(&q) == nil {
		out.Encode(notice{Counters: q.answer()})
	}
}
