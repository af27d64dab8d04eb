package wire

// SessionID names a session: 128 random bits.
type SessionID [16]byte

// Session is a client's request for a session, in its hello.
type Session struct {
	// Resume is true where the client resumes the session, false where it opens it.
	Resume bool
	ID     SessionID
	// Epoch counts the dials of the session: 1, 2, 3 …
	Epoch uint64
}

// The first byte of a request for a session.
const (
	sessionOpen   = 1
	sessionResume = 2
)

func appendSession(dst []byte, s Session) []byte {
	mode := byte(sessionOpen)
	if s.Resume {
		mode = sessionResume
	}
	dst = append(dst, mode)
	dst = append(dst, s.ID[:]...)
	return AppendUvarint(dst, s.Epoch)
}

func parseSession(b []byte) (*Session, error) {
	if len(b) < 1+len(SessionID{}) {
		return nil, broken("a hello asks for a session in %d bytes", len(b))
	}
	mode, rest := b[0], b[1+len(SessionID{}):]
	if mode != sessionOpen && mode != sessionResume {
		return nil, broken("a hello asks for a session in the way %d", mode)
	}
	epoch, err := number(rest)
	if err == nil && epoch == 0 {
		err = broken("a session's epoch is 0")
	}
	return &Session{Resume: mode == sessionResume, ID: SessionID(b[1:]), Epoch: epoch}, err
}

// ClientSlot is what a client says in a resume frame of an open slot.
type ClientSlot struct {
	Slot uint64
	Seq  uint64
	// Seen is how many results have come, and Credit how many more may.
	Seen, Credit uint64
	// Inputs is how many were sent.
	Inputs uint64
	// Canceled: the client has given the command up.
	Canceled bool
}

// AppendClientSlot appends s.
func AppendClientSlot(dst []byte, s ClientSlot) []byte {
	for _, v := range [...]uint64{s.Slot, s.Seq, s.Seen, s.Credit, s.Inputs} {
		dst = AppendUvarint(dst, v)
	}
	if s.Canceled {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// CutClientSlot reads the first slot of a client's list, and returns the rest.
func CutClientSlot(b []byte) (s ClientSlot, rest []byte, err error) {
	for _, v := range [...]*uint64{&s.Slot, &s.Seq, &s.Seen, &s.Credit, &s.Inputs} {
		if *v, b, err = cutUvarint(b, "list of slots"); err != nil {
			return s, nil, err
		}
	}
	s.Canceled, b, err = cutBool(b, "list of slots")
	return s, b, err
}

// ServerSlot is what a server answers of a slot in a resume frame.
type ServerSlot struct {
	Slot uint64
	// Seen: the command came whole and was not rejected. The rest is 0 if not.
	Seen bool
	// Inputs is how many have come, and Credit how many more may.
	Inputs, Credit uint64
}

// AppendServerSlot appends s.
func AppendServerSlot(dst []byte, s ServerSlot) []byte {
	dst = AppendUvarint(dst, s.Slot)
	if !s.Seen {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	dst = AppendUvarint(dst, s.Inputs)
	return AppendUvarint(dst, s.Credit)
}

// CutServerSlot reads the first slot of a server's list, and returns the rest.
func CutServerSlot(b []byte) (s ServerSlot, rest []byte, err error) {
	if s.Slot, b, err = cutUvarint(b, "list of slots"); err != nil {
		return s, nil, err
	}
	if s.Seen, b, err = cutBool(b, "list of slots"); err != nil || !s.Seen {
		return s, b, err
	}
	if s.Inputs, b, err = cutUvarint(b, "list of slots"); err != nil {
		return s, nil, err
	}
	s.Credit, b, err = cutUvarint(b, "list of slots")
	return s, b, err
}

// MaxSlotItem is the most that a slot in a list takes.
const MaxSlotItem = 5*maxVarint + 1

func cutBool(b []byte, what string) (v bool, rest []byte, err error) {
	if len(b) == 0 {
		return false, nil, broken("the bytes end in the middle of the %s", what)
	}
	if b[0] > 1 {
		return false, nil, broken("a byte of the %s is %d, neither 0 nor 1", what, b[0])
	}
	return b[0] == 1, b[1:], nil
}
