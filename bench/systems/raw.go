package systems

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

// Frames of the two limits: the length of the body, 4 bytes, and the body.
const frameHeader = 4

// readFrame reads a frame into the memory of the one before, if that suffices.
func readFrame(reader *bufio.Reader, frame []byte) ([]byte, error) {
	header, err := reader.Peek(frameHeader)
	if err != nil {
		return frame, err
	}
	frame = sized(frame, frameHeader+int(binary.LittleEndian.Uint32(header)))
	_, err = io.ReadFull(reader, frame)
	return frame, err
}

// raw is a bare TCP connection for each caller, and one request on it at a time: the
// least that a lone caller can pay.
type raw struct{}

func (raw) Info() Info { return Info{Name: "raw", Kind: Limit, OwnConns: true} }

func (raw) Serve(conf Conf) (*Server, error) {
	return serveConns(conf, func(conn net.Conn) {
		// As much as has come is read at once; a frame is answered in one write.
		reader := bufio.NewReader(conn)
		var frame []byte
		var err error
		for {
			if frame, err = readFrame(reader, frame); err != nil {
				return
			}
			conf.Do()
			if _, err := conn.Write(frame); err != nil {
				return
			}
		}
	})
}

func (raw) Dial(_ context.Context, addr string, conf Conf) (Conn, error) {
	return &rawConn{addr: addr, conf: conf}, nil
}

type rawConn struct {
	addr string
	conf Conf

	// mu protects conns, those of the callers.
	mu    sync.Mutex
	conns []net.Conn
}

func (c *rawConn) Caller() (Caller, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := dial(ctx, c.addr, c.conf)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return &rawCaller{conn: conn, timeout: c.conf.Timeout}, nil
}

func (c *rawConn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

type rawCaller struct {
	conn          net.Conn
	timeout       time.Duration
	frame, answer []byte
}

func (c *rawCaller) Echo(body []byte) ([]byte, error) {
	if c.timeout > 0 {
		if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
			return nil, err
		}
	}
	c.frame = appendFrame(c.frame[:0], body)
	if _, err := c.conn.Write(c.frame); err != nil {
		return nil, err
	}
	c.answer = sized(c.answer, len(c.frame))
	if _, err := io.ReadFull(c.conn, c.answer); err != nil {
		return nil, err
	}
	return c.answer[frameHeader:], nil
}

func appendFrame(frame, body []byte) []byte {
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(body)))
	return append(frame, body...)
}

// rawBatch is the same frames through buffers of 64 KiB, a window of requests, and
// answers in their order: nothing is told apart, nobody is woken, so it is the most
// that many callers on one connection could get together.
type rawBatch struct{}

const batchBuffer = 64 << 10

func (rawBatch) Info() Info { return Info{Name: "rawbatch", Kind: Limit, Windowed: true} }

func (rawBatch) Serve(conf Conf) (*Server, error) {
	return serveConns(conf, func(conn net.Conn) {
		reader, writer := bufio.NewReaderSize(conn, batchBuffer), bufio.NewWriterSize(conn, batchBuffer)
		var frame []byte
		var err error
		for {
			if frame, err = readFrame(reader, frame); err != nil {
				return
			}
			if _, err := writer.Write(frame); err != nil {
				return
			}
			if hasFrame(reader) {
				continue
			}
			if err := writer.Flush(); err != nil {
				return
			}
		}
	})
}

// hasFrame tells whether a whole frame can be read without waiting for the connection.
func hasFrame(reader *bufio.Reader) bool {
	buffered := reader.Buffered()
	if buffered < frameHeader {
		return false
	}
	header, err := reader.Peek(frameHeader)
	return err == nil && buffered >= frameHeader+int(binary.LittleEndian.Uint32(header))
}

func (rawBatch) Dial(ctx context.Context, addr string, conf Conf) (Conn, error) {
	conn, err := dial(ctx, addr, conf)
	if err != nil {
		return nil, err
	}
	return &rawBatchConn{conn: conn}, nil
}

type rawBatchConn struct{ conn net.Conn }

func (c *rawBatchConn) Caller() (Caller, error) { return nil, errNoAnswer }

func (c *rawBatchConn) Close() { c.conn.Close() }

// Window writes requests in one goroutine and reads answers in another.
func (c *rawBatchConn) Window(flow Flow, size int) error {
	free := make(chan int, size) // how many places have been answered, in a lump
	failed := make(chan error, 1)
	go func() { failed <- c.write(flow, size, free) }()

	reader := bufio.NewReaderSize(c.conn, batchBuffer)
	var answer []byte
	answered := 0
	err := func() (err error) {
		for {
			if answer, err = readFrame(reader, answer); err != nil {
				return err
			}
			if _, err := flow.Answer(answer[frameHeader:]); err != nil {
				return err
			}
			answered++
			if !hasFrame(reader) {
				free <- answered
				answered = 0
			}
		}
	}()
	close(free)
	if wrote := <-failed; wrote != nil {
		return wrote
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// write keeps size requests open until the flow is done, waits for the answers to
// those that are open, and then ends this direction of the connection, and so the
// other.
func (c *rawBatchConn) write(flow Flow, size int, free <-chan int) error {
	writer := bufio.NewWriterSize(c.conn, batchBuffer)
	var frame []byte
	for place, room := 0, size; ; {
		if flow.Done() {
			if err := writer.Flush(); err != nil {
				return err
			}
			for room < size {
				answered, ok := <-free
				if !ok {
					return nil // the reader says why
				}
				room += answered
			}
			return c.conn.(interface{ CloseWrite() error }).CloseWrite()
		}
		for ; room > 0; room-- {
			frame = appendFrame(frame[:0], flow.Request(place))
			if _, err := writer.Write(frame); err != nil {
				return err
			}
			place = (place + 1) % size
		}
		if err := writer.Flush(); err != nil {
			return err
		}
		answered, ok := <-free
		if !ok {
			return nil // the reader says why
		}
		room += answered
	}
}
