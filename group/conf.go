package group

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// Strategy says which of the connected members a command goes to.
type Strategy uint8

const (
	// RoundRobin takes one after the other.
	RoundRobin Strategy = iota
	// LeastInFlight looks at two members, chosen at random, and takes the one that has
	// fewer commands in flight. So servers that are slow get less to do.
	LeastInFlight
	// Sticky takes for each key, base.KeyOf, always the same server, and there the same
	// connection, in every process that has the same addresses. When a server is lost its
	// keys are spread over the others, and come back with it; no other key moves. The
	// commands that have no key take turns.
	Sticky
)

var strategyNames = [...]string{"round robin", "least in flight", "sticky"}

// String returns the strategy in lower-case words.
func (s Strategy) String() string {
	if int(s) < len(strategyNames) {
		return strategyNames[s]
	}
	return fmt.Sprintf("strategy %d", uint8(s))
}

// Conf configures a group. Servers has to be set; the rest has defaults.
type Conf struct {
	// Servers says where the servers are.
	Servers Source
	// PerAddress is how many members, each with a connection, there are for an address;
	// 0: 1. One is fastest unless the server, or the network, has more than one
	// connection can use.
	PerAddress int
	// Strategy says which member a command goes to; the zero value is RoundRobin.
	Strategy Strategy
	// Dial makes the dialer of an address; nil: client.TCP. With TLS it is
	//
	//	func(address string) client.Dialer { return client.TLS(address, conf) }
	//
	// where conf.ServerName has to be set if the addresses are looked up.
	Dial func(address string) client.Dialer
	// Client configures each member. Its Timeout bounds the whole of a command of Do, Results
	// and Open, wherever it goes; for Send it begins anew at each member. FailFast, FirstSeq
	// and StateCallback are the group's own.
	Client client.Conf
	// StateCallback, if set, hears of every change of a member's state, and of every failed
	// attempt to connect it. Those of one member come one after the other, those of several
	// at once. A group does not wait for it, but the member does.
	StateCallback func(address string, change client.StateChange)
}

// DefaultConnectTimeout is how long New waits for the first member, if its ctx has no
// deadline.
const DefaultConnectTimeout = 30 * time.Second

// withDefaults returns conf with defaults in place of zeros, or what is wrong with it.
func (conf Conf) withDefaults() (Conf, error) {
	switch {
	case conf.Servers.err != nil:
		return conf, conf.Servers.err
	case conf.Servers.lookup == nil:
		return conf, confError("Servers is not set: use Static, DNS or Lookup")
	case conf.PerAddress < 0:
		return conf, confError("PerAddress is negative")
	case int(conf.Strategy) >= len(strategyNames):
		return conf, confError("there is no %v: use RoundRobin, LeastInFlight or Sticky", conf.Strategy)
	case conf.Client.StateCallback != nil:
		return conf, confError("Client.StateCallback is set: use the group's own, which tells the address")
	case conf.Client.FirstSeq != 0:
		return conf, confError("Client.FirstSeq is set: the group numbers its commands itself")
	}
	conf.PerAddress = max(conf.PerAddress, 1)
	if conf.Dial == nil {
		conf.Dial = client.TCP
	}
	if conf.Client.SendTimeout == 0 {
		conf.Client.SendTimeout = client.DefaultSendTimeout
	}
	if conf.Client.Logger == nil {
		conf.Client.Logger = slog.Default()
	}
	conf.Client.FailFast = true
	return conf, nil
}

func confError(format string, args ...any) error {
	return &base.Error{Outcome: base.NotSent, Code: base.ErrConf, Message: "group: " + fmt.Sprintf(format, args...)}
}
