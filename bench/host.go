package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// An order is the first line that a server's process reads.
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
	endTime    = 5 * time.Second  // for its process to end by itself
	noticeFile = 3                // the file by which it answers
)

type processHost struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	file    *os.File
	notices *bufio.Reader
	address string
}

// startProcess starts this very program as a server, and waits until it listens. It
// ends when close is called, or when this process ends.
func startProcess(system string, conf systems.Conf) (host, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, serveArgument)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.ExtraFiles = []*os.File{write}
	orders, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	write.Close()
	if err != nil {
		read.Close()
		return nil, err
	}
	h := &processHost{cmd: cmd, orders: orders, file: read, notices: bufio.NewReader(read)}
	if err := json.NewEncoder(orders).Encode(order{system, conf}); err != nil {
		h.close()
		return nil, err
	}
	n, err := h.notice(startTime)
	if err != nil {
		h.close()
		return nil, fmt.Errorf("the server's process: %w", err)
	}
	h.address = n.Addr
	return h, nil
}

func (h *processHost) addr() string { return h.address }

func (h *processHost) ask(q question) (counters, error) {
	if err := json.NewEncoder(h.orders).Encode(q); err != nil {
		return counters{}, err
	}
	n, err := h.notice(answerTime)
	return n.Counters, err
}

func (h *processHost) notice(within time.Duration) (notice, error) {
	var n notice
	if err := h.file.SetReadDeadline(time.Now().Add(within)); err != nil {
		return n, err
	}
	line, err := h.notices.ReadBytes('\n')
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(line, &n); err != nil {
		return n, err
	}
	if n.Error != "" {
		return n, errors.New(n.Error)
	}
	return n, nil
}

// close ends the process, by force if it does not end by itself, and waits for it.
func (h *processHost) close() {
	h.orders.Close()
	timer := time.AfterFunc(endTime, func() { h.cmd.Process.Kill() })
	h.cmd.Wait()
	timer.Stop()
	h.file.Close()
}

// serveArgument makes this program a server.
const serveArgument = "-serve-for-benchmark"

// serve is the life of a server's process: an order, then questions until they end.
func serve() error {
	notices := json.NewEncoder(os.NewFile(noticeFile, "notices"))
	questions := json.NewDecoder(os.Stdin)
	var o order
	if err := questions.Decode(&o); err != nil {
		return err
	}
	server, err := func() (*systems.Server, error) {
		system, err := systems.ByName(o.System)
		if err != nil {
			return nil, err
		}
		return system.Serve(o.Conf)
	}()
	if err != nil {
		return notices.Encode(notice{Error: err.Error()})
	}
	if err := notices.Encode(notice{Addr: server.Addr}); err != nil {
		return err
	}
	for {
		var q question
		if err := questions.Decode(&q); err != nil {
			return nil // the process ends, and with it all that the server has
		}
		if err := notices.Encode(notice{Counters: q.answer()}); err != nil {
			return err
		}
	}
}
