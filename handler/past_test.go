package handler_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/wire"
)

// What a command of a session has answered is kept until its client has seen it, and so is what
// is known of it: over the connection over which it went, and over the next ones.
func TestAnAnswerIsKeptUntilItIsSeen(t *testing.T) {
	answers := commands{"one": func(c call) error { return c.last("one") }}
	steps := map[string]func(h *host, v *visitor){
		"it is sent again, and again": func(h *host, v *visitor) {
			for range 2 {
				v.cut()
				v.resume(stands(0, 1, 0, 1))
				v.inOrder("list 0:seen,0+8", "0: one.")
			}
		},
		"not if it was seen": func(h *host, v *visitor) {
			v.cut()
			v.resume(stands(0, 1, 1, 1))
			v.expect("list 0:seen,0+8")
			keeps(h, 0)
		},
		"nor if its slot is not listed": func(h *host, v *visitor) {
			v.cut()
			v.resume()
			v.expect("list")
			keeps(h, 0)
		},
		"the client waits for its next command": func(h *host, v *visitor) {
			v.cut()
			v.resume(stands(0, 2, 0, 1))
			v.expect("list 0:unseen")
			keeps(h, 0)
			v.send(0, 2, 1, "one")
			v.expect("0: one.")
		},
		"an ack lets go of it": func(h *host, v *visitor) {
			v.ack(0, 1)
			keeps(h, 0)
			v.cut()
			v.resume(stands(0, 1, 1, 1))
			v.expect("list 0:seen,0+8")
		},
		"what was acknowledged is not asked for": func(h *host, v *visitor) {
			v.ack(0, 1)
			keeps(h, 0)
			v.cut()
			v.resume(stands(0, 1, 0, 1))
			h.broken("of command 1 the client has seen 0 results, of 1 to 1")
		},
		"one more ack says nothing": func(h *host, v *visitor) {
			v.ack(0, 1)
			v.ack(0, 1)
			v.send(0, 2, 1, "one")
			v.expect("0: one.")
		},
		"an ack is of what was sent": func(h *host, v *visitor) {
			v.ack(0, 2)
			h.broken("an ack of 2 results came on slot 0, where 1 were sent")
		},
		"of a list this is so, too": func(h *host, v *visitor) {
			v.cut()
			v.resume(stands(0, 1, 2, 1))
			h.broken("of command 1 the client has seen 2 results, of 0 to 1")
		},
		"a list that breaks a rule changes nothing": func(h *host, v *visitor) {
			v.send(1, 2, 1, "one")
			settle()
			v.cut()
			v.resume(stands(0, 1, 0, 1), stands(1, 1, 0, 1))
			h.broken("command 1 is listed on slot 1, where command 2 has come")
			keeps(h, 6)
			v.resume(stands(0, 1, 0, 1), stands(1, 2, 0, 1))
			v.inOrder("list 0:seen,0+8 1:seen,0+8", "0: one.", "1: one.")
		},
		"the next command on its slot lets go of it": func(h *host, v *visitor) {
			v.send(0, 2, 1, "one")
			v.expect("0: one.")
			keeps(h, 3)
			v.cut()
			v.resume(stands(0, 2, 0, 1))
			v.inOrder("list 0:seen,0+8", "0: one.")
		},
		"it came once": func(h *host, v *visitor) {
			v.send(0, 1, 1, "one")
			h.broken("command 1 came on slot 0 after command 1")
		},
		"and once over all connections": func(h *host, v *visitor) {
			v.cut()
			v.resume()
			v.expect("list")
			v.send(0, 1, 1, "one")
			h.broken("command 1 came on slot 0 after command 1")
		},
		"a credit, a cancel or an input for it crosses it": func(h *host, v *visitor) {
			v.credit(0, 1)
			v.cancel(0)
			v.input(0, "late")
			v.expect()
			v.cut()
			v.resume(stands(0, 1, 0, 1))
			v.inOrder("list 0:seen,0+8", "0: one.")
		},
		"the session waits for its client": func(h *host, v *visitor) {
			v.cut()
			if !h.Waiting() {
				h.t.Error("nobody waits for what the client has not seen")
			}
			v.resume()
			v.expect("list")
			v.cut()
			if h.Waiting() {
				h.t.Error("there is nothing to wait for")
			}
		},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			withHost(t, answers, nil, func(t *testing.T, h *host) {
				v := h.open(1)
				v.send(0, 1, 1, "one")
				v.expect("0: one.")
				keeps(h, 3)
				step(h, v)
			})
		})
	}
}

// keeps checks how many bytes of results are kept.
func keeps(h *host, n int) {
	h.t.Helper()
	settle()
	if kept := h.KeptBytes(); kept != n {
		h.t.Errorf("%d bytes are kept, want %d", kept, n)
	}
}

// A command that ends while its session is resumed, before or after the list came, is told of
// over the new connection.
func TestAnAnswerDuringAResume(t *testing.T) {
	moments := []string{"before the cut", "before the hello", "before the list", "after the list", "at the end"}
	for i, when := range moments[:4] {
		for _, returned := range moments[i:] {
			t.Run("sent "+when+", returned "+returned, func(t *testing.T) {
				var send, end chan struct{}
				withHost(t, commands{"one": func(c call) error {
					<-send
					err := c.last("one")
					<-end
					return err
				}, "echo": echo}, nil, func(t *testing.T, h *host) {
					send, end = make(chan struct{}), make(chan struct{})
					v := h.open(1)
					v.send(0, 1, 1, "one")
					over := 0
					at := func(step string) {
						settle()
						if over == 0 && when == step {
							close(send)
							over++
							settle()
						}
						if over == 1 && returned == step {
							close(end)
							over++
							settle()
						}
					}
					at("before the cut")
					if over > 0 {
						v.expect("0: one.")
					}
					v.cut()
					at("before the hello")
					v.again()
					at("before the list")
					v.list(wire.FlagLast, stands(0, 1, 0, 1))
					at("after the list")
					v.inOrder("list 0:seen,0+8", "0: one.")
					v.send(0, 2, 1, "echo")
					v.expect("0: echo.")
					if over < 2 {
						close(end)
					}
					settle()
					v.send(0, 3, 1, "echo")
					v.expect("0: echo.")
					keeps(h, len("echo"))
				})
			})
		}
	}
}

// However many answers a session has kept, they count for no other one once it has ended.
func TestAnswersCountUntilTheirSessionEnds(t *testing.T) {
	const n, size = 300, 1000
	withHost(t, commands{"one": func(c call) error { return c.last(strings.Repeat("x", size)) }}, func(conf *handler.Conf[World]) {
		conf.MaxInFlight = n
		conf.Sessions.TotalBytes, conf.Sessions.MaxBytes = n*size, n*size
	}, func(t *testing.T, h *host) {
		for id := range byte(5) {
			v := h.open(id + 1)
			for i := range n {
				v.send(i, uint64(i)+1, 1, "one")
			}
			if got := v.take(); len(got) != n {
				t.Fatalf("session %d has got %d answers", id+1, len(got))
			}
			v.cut()
			time.Sleep(2 * time.Minute)
			if h.HasSessions() {
				t.Fatalf("session %d has not ended", id+1)
			}
		}
	})
}
