package client

import "github.com/cmdstream/cmdstream/base"

// What the owner of a slot does to take what has come for its command.

// take makes what has come out. ended tells that nothing more comes; err why, if not because of a
// last result, without the command's name. The owner calls it when there is no out; over is what it
// was told by ready: nobody changes what has come any more, then.
func (s *slot[T]) take(over bool) (ended, expired bool, err *base.Error) {
	if over {
		s.out = s.in
		return true, false, s.err
	}
	s.mu.Lock()
	s.takeLocked()
	ended, expired, err = s.ended, s.expired, s.err
	s.mu.Unlock()
	return ended, expired, err
}

// takeLocked is take for a caller that holds mu.
func (s *slot[T]) takeLocked() {
	s.out = s.in
	if !s.ended { // else nobody adds to it any more
		if s.other == nil {
			s.other = &inbox{memory: s.in.memory}
		}
		s.in, s.other = s.other, s.in
	}
	s.makeSpace()
}

// makeSpace lets a reader go on that waits for the owner. The caller holds mu.
func (s *slot[T]) makeSpace() {
	if s.space != nil {
		close(s.space)
		s.space = nil
	}
}

// pop decodes the next result in out. ok is false when there is none; there is no out
// then. The memory of the result is the slot's until it is handedOver.
func (s *slot[T]) pop() (result base.Result, last bool, err error, ok bool) {
	if s.out == nil {
		return nil, false, nil, false
	}
	if s.next == len(s.out.items) {
		s.out.reset()
		s.out, s.next, s.from = nil, 0, 0
		return nil, false, nil, false
	}
	it := s.out.items[s.next]
	small := s.out.bytes[s.from:it.end]
	s.next, s.from, s.holding, s.size = s.next+1, int(it.end), 0, 0
	s.body.Set(small)
	if it.apart != 0 || it.compressed {
		result, err = s.popApart(it)
		return result, it.last, err, true
	}
	s.size = len(small)
	result, err = s.link.client.decode(s, s.cmd, &s.body)
	s.body.Release() // it is not the codec's any more
	if err != nil {
		err = s.undecoded(err)
	}
	return result, it.last, err, true
}

// popApart is pop of a result that is apart, or compressed.
func (s *slot[T]) popApart(it item) (result base.Result, err error) {
	owned, result, err := s.unpack(it)
	if result != nil || err != nil {
		return result, err
	}
	s.size = s.body.Len()
	result, err = s.link.client.decode(s, s.cmd, &s.body)
	s.body.Release()
	if owned != nil {
		s.link.client.memory.pool.Put(owned)
	}
	if err != nil {
		err = s.undecoded(err)
	}
	return result, err
}

// unpack makes body that of a result that is apart, or compressed; owned is its memory, if that
// is the pool's. Where there is nothing to decode it returns the result, or why there is none.
func (s *slot[T]) unpack(it item) (owned []byte, result base.Result, err error) {
	if it.apart != 0 {
		a := s.out.takeItem(it, 0)
		s.holding = a.held
		switch {
		case a.err != nil:
			return nil, nil, s.named(a.err)
		case a.value != nil:
			return nil, a.value, nil
		case a.pieces != nil:
			s.body.SetPieces(a.pieces)
		default:
			owned = a.owned
			s.body.Set(owned)
		}
	}
	if it.compressed {
		plain, tooLong := s.link.decompress(s.body.Bytes())
		if tooLong != nil {
			s.link.client.counters.refused(tooLong)
			return nil, nil, s.named(tooLong)
		}
		s.body.Replace(plain)
	}
	return owned, nil, nil
}

// undecoded makes the error of a result that the codec refuses.
func (s *slot[T]) undecoded(err error) error {
	err = s.wrap(base.Failed, base.ErrDecode, "its result can't be decoded", err)
	s.link.client.counters.refused(err)
	return err
}

// handedOver gives back the memory of the result that was popped last: it is its
// user's now.
func (s *slot[T]) handedOver() {
	s.link.client.memory.give(s.holding)
	s.holding = 0
}
