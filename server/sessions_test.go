package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/wire"
)

// sessionClient is a client with a session, and the connections that it has made.
type sessionClient struct {
	*client.Client[World]
	last  atomic.Pointer[memnet.Conn]
	block atomic.Bool // no further connection is made
}

// session makes a client that reconnects, with a session.
func (h *house) session(conf client.Conf) *sessionClient {
	h.t.Helper()
	l := &sessionClient{}
	dial := func(ctx context.Context) (net.Conn, error) {
		if l.block.Load() {
			return nil, errors.New("the network is down")
		}
		nc, err := h.l.Dial(ctx)
		if err == nil {
			l.last.Store(nc.(*memnet.Conn))
		}
		return nc, err
	}
	conf.Session, conf.Logger = true, slog.New(slog.DiscardHandler)
	var err error
	if l.Client, err = client.NewReconnect[World](h.t.Context(), clientCodec{}, dial, conf); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	return l
}

// cut cuts the line; it stays so until mend.
func (l *sessionClient) cut() {
	l.block.Store(true)
	l.last.Load().Cut(memnet.RST)
	settle()
}

func (l *sessionClient) mend() { l.block.Store(false) }

// later answers after a second.
func later(ctx context.Context, send func(string, bool) error) error {
	select {
	case <-time.After(time.Second):
		return send("late", true)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestACommandOutlivesItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"slow": later})
		c := h.session(client.Conf{})
		done := h.run(c.Client, "slow")
		c.cut()
		if s := h.Stats(); s.Sessions != 1 || s.DetachedSessions != 1 || s.Running != 1 || s.Connections != 0 {
			t.Errorf("got %+v", s)
		}
		time.Sleep(2 * time.Second)
		c.mend()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s := h.Stats(); s.SessionsOpened != 1 || s.SessionsResumed != 1 || s.DetachedSessions != 0 || s.Connections != 1 || s.Running != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// N8: a session without a connection ends when its time is over; its commands' ctx
// with it, and the client is told why.
func TestASessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		h := start(t, server.Conf[World]{Sessions: server.Sessions{Time: time.Minute}}, commands{
			"wait": func(ctx context.Context, _ func(string, bool) error) error {
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return ctx.Err()
			},
		})
		var told []string
		c := h.session(client.Conf{StateCallback: func(s client.StateChange) {
			if s.Err != nil {
				told = append(told, s.Err.Error())
			}
		}})
		done := h.run(c.Client, "wait")
		begin := time.Now()
		c.cut()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the ctx ended by %v", err)
		}
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("it took %v", took)
		}
		err := <-done
		if base.OutcomeOf(err) != base.Unknown || !errors.Is(err, base.ErrSessionLost) {
			t.Errorf("got %v", err)
		}
		c.mend()
		h.echoes(c.Client)
		if s := h.Stats(); s.SessionsExpired != 1 || s.Sessions != 1 || s.Running != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// Of sessions without a connection the one that was left first goes first.
func TestSessionsAreEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Sessions: server.Sessions{Max: 1}}, commands{"slow": later})
		first, second := h.session(client.Conf{}), h.session(client.Conf{})
		lost, kept := h.run(first.Client, "slow"), h.run(second.Client, "slow")
		first.cut()
		second.cut()
		if s := h.Stats(); s.SessionsEvicted != 1 || s.DetachedSessions != 1 {
			t.Errorf("got %+v", s)
		}
		first.mend()
		second.mend()
		if err := <-lost; !errors.Is(err, base.ErrSessionLost) || base.OutcomeOf(err) != base.Unknown || !strings.Contains(err.Error(), "no more than 1 sessions") {
			t.Errorf("got %v", err)
		}
		if err := <-kept; err != nil {
			t.Error(err)
		}
		if s := h.Stats(); s.SessionsLost != 1 || s.SessionsResumed != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// N7: a client that closes ends its session, with its commands.
func TestAClientsCloseEndsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		h := start(t, server.Conf[World]{}, commands{"wait": func(ctx context.Context, _ func(string, bool) error) error {
			<-ctx.Done()
			close(ended)
			return nil
		}})
		c := h.session(client.Conf{})
		h.run(c.Client, "wait")
		c.Close()
		<-ended
		settle()
		if s := h.Stats(); s.Sessions != 0 || s.Running != 0 || s.Connections != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// A resume takes over the place of the old connection, though the server has not
// noticed yet that this is gone.
func TestAResumeTakesOverItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 1}, commands{"slow": later})
		c := h.session(client.Conf{})
		done := h.run(c.Client, "slow")
		c.last.Load().Cut(memnet.Stall) // half open: the server learns nothing
		c.last.Load().Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		h.echoes(c.Client)
		if s := h.Stats(); s.Connections != 1 || s.SessionsResumed != 1 || s.FullHellos != 0 {
			t.Errorf("got %+v", s)
		}
		h.expectLog("a connection ended", "goes on over a newer one")
	})
}

func TestSessionsAreDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Sessions: server.Sessions{Disabled: true}}, nil)
		_, err := client.NewReconnect[World](t.Context(), clientCodec{}, h.l.Dial, client.Conf{Session: true})
		if !errors.Is(err, base.ErrUnsupported) || !strings.Contains(err.Error(), "keeps no sessions") {
			t.Errorf("got %v", err)
		}
		if s := h.Stats(); s.RefusedHellos != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// resumeRaw says a hello that resumes a session, and returns the answer.
func (h *house) resumeRaw(s wire.Session, credentials []byte) wire.ServerHello {
	h.t.Helper()
	nc := h.dial()
	b, err := wire.AppendClientHello(nil, wire.ClientHello{Session: &s, Credentials: credentials})
	if err != nil {
		h.t.Fatal(err)
	}
	nc.Write(b)
	return hearHello(h.t, nc)
}

// N2, N3: what can't be resumed.
func TestWhatIsNotResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		id := wire.SessionID{1}
		if a := h.resumeRaw(wire.Session{Resume: true, ID: id, Epoch: 1}, nil); a.Status != wire.StatusSessionLost {
			t.Errorf("unknown: %+v", a)
		}
		if a := h.resumeRaw(wire.Session{ID: id, Epoch: 5}, nil); a.Status != wire.StatusOK || a.SessionTime != 60_000 {
			t.Errorf("opened: %+v", a)
		}
		if a := h.resumeRaw(wire.Session{ID: id, Epoch: 6}, nil); a.Status != wire.StatusRefused {
			t.Errorf("opened twice: %+v", a)
		}
		for _, epoch := range []uint64{1, 4, 5} {
			if a := h.resumeRaw(wire.Session{Resume: true, ID: id, Epoch: epoch}, nil); a.Status != wire.StatusStaleEpoch {
				t.Errorf("epoch %d: %+v", epoch, a)
			}
		}
		if a := h.resumeRaw(wire.Session{Resume: true, ID: id, Epoch: 6}, nil); a.Status != wire.StatusOK {
			t.Errorf("epoch 6: %+v", a)
		}
		if s := h.Stats(); s.StaleEpochs != 3 || s.SessionsLost != 1 || s.Sessions != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

type userKey struct{}

// byPassword lets in whoever has a password that begins with the name.
func byPassword(ctx context.Context, hello server.ClientHello) (context.Context, string, error) {
	name, ok := strings.CutSuffix(string(hello.Credentials), " secret")
	switch {
	case name == "panic":
		panic("on purpose")
	case name == "nobody":
		return nil, "", nil
	case !ok:
		return nil, "", &base.Error{Code: base.ErrUnauthorized, Message: "who are you?", RetryAfter: 3 * time.Second}
	}
	return context.WithValue(ctx, userKey{}, name), name, nil
}

func credentials(s string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s), nil }
}

func TestAuthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Authenticate: byPassword}, commands{
			"who": func(ctx context.Context, send func(string, bool) error) error {
				name, _ := ctx.Value(userKey{}).(string)
				return send(name, true)
			},
		})
		c, err := h.connect(client.Conf{Credentials: credentials("ann secret"), Info: []byte("me")})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := c.Do(t.Context(), cmd("who")); err != nil || r.(result).text != "ann" {
			t.Errorf("got %v, %v", r, err)
		}
		for _, refused := range []string{"", "ann", "panic secret", "nobody secret"} {
			_, err := h.connect(client.Conf{Credentials: credentials(refused)})
			if !errors.Is(err, base.ErrUnauthorized) || base.OutcomeOf(err) != base.Rejected {
				t.Errorf("%q: %v", refused, err)
			}
			var e *base.Error
			if errors.As(err, &e) && refused == "ann" && (e.RetryAfter != 3*time.Second || !strings.Contains(e.Message, "who are you?")) {
				t.Errorf("got %#v", e)
			}
		}
		if s := h.Stats(); s.Unauthorized != 4 {
			t.Errorf("got %+v", s)
		}
		h.expectLog("Authenticate panicked")
		_, err = h.connect(client.Conf{Credentials: func(context.Context) ([]byte, error) { return nil, io.ErrNoProgress }})
		if !errors.Is(err, base.ErrUnauthorized) || !errors.Is(err, io.ErrNoProgress) || base.OutcomeOf(err) != base.NotSent {
			t.Errorf("got %v", err)
		}
		_, err = h.connect(client.Conf{Credentials: func(context.Context) ([]byte, error) { panic("on purpose") }})
		if !errors.Is(err, base.ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
	})
}

// The ctx that Authenticate returns when a session is resumed is that of the commands that come
// from then on. One that runs keeps its own.
func TestAuthenticateOfAResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hellos atomic.Int64
		who := func(after time.Duration) func(context.Context, func(string, bool) error) error {
			return func(ctx context.Context, send func(string, bool) error) error {
				time.Sleep(after)
				return send(fmt.Sprint(ctx.Value(userKey{})), true)
			}
		}
		h := start(t, server.Conf[World]{Authenticate: func(ctx context.Context, _ server.ClientHello) (context.Context, string, error) {
			return context.WithValue(ctx, userKey{}, hellos.Add(1)), "ann", nil
		}}, commands{"who": who(0), "slowly": who(time.Second)})
		c := h.session(client.Conf{})
		slowly := make(chan string, 1)
		go func() {
			r, err := c.Do(t.Context(), cmd("slowly"))
			if err != nil {
				t.Error(err)
			}
			slowly <- r.(result).text
		}()
		for hello := range 3 {
			settle()
			if r, err := c.Do(t.Context(), cmd("who")); err != nil || r.(result).text != fmt.Sprint(hello+1) {
				t.Errorf("after hello %d: %v, %v", hello+1, r, err)
			}
			h.echoes(c.Client) // whose ctx is the next command's, since nobody has looked at it
			c.cut()
			c.mend()
		}
		if text := <-slowly; text != "1" {
			t.Errorf("the first command has found hello %s", text)
		}
	})
}

func TestCredentialsThatNobodyChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		_, err := h.connect(client.Conf{Credentials: credentials("secret")})
		if !errors.Is(err, base.ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
	})
}

// N6: a session belongs to who opened it.
func TestAStolenSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Authenticate: byPassword}, nil)
		id := wire.SessionID{1}
		h.resumeRaw(wire.Session{ID: id, Epoch: 1}, []byte("ann secret"))
		if a := h.resumeRaw(wire.Session{Resume: true, ID: id, Epoch: 2}, []byte("bob secret")); a.Status != wire.StatusUnauthorized {
			t.Errorf("bob: %+v", a)
		}
		if a := h.resumeRaw(wire.Session{Resume: true, ID: id, Epoch: 2}, []byte("ann secret")); a.Status != wire.StatusOK {
			t.Errorf("ann: %+v", a)
		}
		if s := h.Stats(); s.ForeignSessions != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// Without Authenticate it belongs to the client's certificate.
func TestASessionBelongsToACertificate(t *testing.T) {
	one, two := certificates(t)
	own, other := one.Certificates[0], two.Certificates[0]
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert,
		}}, nil)
		resume := func(cert tls.Certificate, s wire.Session) wire.Status {
			nc := tls.Client(h.dial(), &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true})
			b, _ := wire.AppendClientHello(nil, wire.ClientHello{Session: &s})
			nc.Write(b)
			return hearHello(t, nc).Status
		}
		id := wire.SessionID{1}
		for i, test := range []struct {
			cert tls.Certificate
			want wire.Status
		}{{own, wire.StatusOK}, {other, wire.StatusUnauthorized}, {own, wire.StatusOK}} {
			if got := resume(test.cert, wire.Session{Resume: i > 0, ID: id, Epoch: uint64(i + 1)}); got != test.want {
				t.Errorf("%d: got the status %d, want %d", i, got, test.want)
			}
		}
	})
}

// A draining server takes clients back to their sessions, and no others.
func TestShutdownWaitsForSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"slow": later})
		c := h.session(client.Conf{})
		done := h.run(c.Client, "slow")
		c.cut()
		down := make(chan error, 1)
		go func() { down <- h.Shutdown(t.Context()) }()
		time.Sleep(5 * time.Second)
		select {
		case err := <-down:
			t.Fatalf("Shutdown returned %v, and a client was not told its result", err)
		default:
		}
		if _, err := h.connect(client.Conf{}); !errors.Is(err, base.ErrDraining) {
			t.Errorf("a new client: %v", err)
		}
		c.mend()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
		h.expectServed(server.ErrClosed)
		if s := h.Stats(); s.DrainingHellos == 0 || s.SessionsResumed != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// What was sent over a connection that was lost then counts as not seen.
func TestShutdownWaitsForWhatMayBeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"slow": later})
		c := h.session(client.Conf{})
		done := h.run(c.Client, "slow")
		h.far.Load().Cut(memnet.Stall) // the server's answer gets lost
		time.Sleep(2 * time.Second)
		c.cut()
		down := make(chan error, 1)
		go func() { down <- h.Shutdown(t.Context()) }()
		time.Sleep(5 * time.Second)
		c.mend()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownDoesNotWaitForSessionsThatExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Sessions: server.Sessions{Time: 10 * time.Second}}, commands{"wait": wait})
		c := h.session(client.Conf{})
		h.run(c.Client, "wait")
		c.cut()
		begin := time.Now()
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 10*time.Second+20*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestCloseEndsSessionsWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		h := start(t, server.Conf[World]{}, commands{"wait": func(ctx context.Context, _ func(string, bool) error) error {
			<-ctx.Done()
			close(ended)
			return nil
		}})
		c := h.session(client.Conf{})
		h.run(c.Client, "wait")
		c.cut()
		begin := time.Now()
		h.Close()
		<-ended
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
