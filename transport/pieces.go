package transport

import "io"

// Pieces are a body that came in pieces. They have one owner at a time. A nil *Pieces is
// empty.
type Pieces struct {
	pool *Pool // where those of pieceSize are from
	list [][]byte
	n    int // bytes
	pace pace
}

// pieceSize is the largest capacity of a piece, in bytes, and that of most.
const pieceSize = pooledLarge

// Len returns how many bytes there are.
func (p *Pieces) Len() int {
	if p == nil {
		return 0
	}
	return p.n
}

// read adds n bytes of r, of a body of which up to left bytes are to come. The memory is at
// most three times what has come, whatever is to come, and nothing is ever moved: it would
// hold up the connection's other messages.
func (p *Pieces) read(r io.Reader, n, left int) error {
	for n > 0 {
		i := len(p.list) - 1
		if i < 0 || len(p.list[i]) == cap(p.list[i]) {
			p.list = append(p.list, p.memory(min(max(n, p.n), left)))
			i++
		}
		piece := p.list[i]
		came := piece[len(piece):min(len(piece)+n, cap(piece))]
		if _, err := io.ReadFull(r, came); err != nil {
			return err
		}
		p.list[i] = piece[:len(piece)+len(came)]
		p.n += len(came)
		n, left = n-len(came), left-len(came)
	}
	return nil
}

// memory returns memory for n bytes, or a part of them, or more.
func (p *Pieces) memory(n int) []byte {
	if n < pieceSize/2 {
		return make([]byte, 0, n)
	}
	return p.pool.Get(pieceSize)
}

// first returns the first piece.
func (p *Pieces) first() []byte {
	if p == nil || len(p.list) == 0 {
		return nil
	}
	return p.list[0]
}

// drop gives the memory of the first piece up.
func (p *Pieces) drop() {
	first := p.list[0]
	p.n -= len(first)
	p.list[0], p.list = nil, p.list[1:]
	p.pool.Put(first)
}

// Release gives the memory of all pieces up.
func (p *Pieces) Release() {
	for p.Len() > 0 {
		p.drop()
	}
}
