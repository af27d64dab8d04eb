package group

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

const (
	// DefaultRefresh is how often addresses are looked up.
	DefaultRefresh = 30 * time.Second
	// lookupTimeout bounds a lookup.
	lookupTimeout = 10 * time.Second
)

// Source says where the servers of a group are. [Static], [DNS] and [Lookup] make one.
// What is wrong with their arguments, New tells.
type Source struct {
	name    string // for errors
	lookup  func(ctx context.Context) ([]string, error)
	refresh time.Duration // 0: never
	err     error
}

// Static is a fixed list of addresses, such as "10.0.0.1:9000", each of them once.
func Static(addresses ...string) Source {
	if len(addresses) == 0 {
		return Source{err: confError("there are no addresses: Static wants one at least")}
	}
	for i, address := range addresses {
		if address == "" {
			return Source{err: confError("address %d of %d is empty", i+1, len(addresses))}
		}
		if slices.Contains(addresses[:i], address) {
			return Source{err: confError("the address %s is there twice: for more connections to it use PerAddress", address)}
		}
	}
	addresses = slices.Clone(addresses)
	return Source{name: "the list", lookup: func(context.Context) ([]string, error) { return addresses, nil }}
}

// DNS is all the addresses of a host, such as "calc.internal:9000". They are looked up again
// after each refresh; 0: [DefaultRefresh]. The members of an address that is gone finish what
// they have, and are closed. If a lookup fails, or finds nothing, the addresses stay as they
// are; the first time it is an error of New.
func DNS(address string, refresh time.Duration) Source {
	return dns(address, refresh, net.DefaultResolver.LookupHost)
}

func dns(address string, refresh time.Duration, lookupHost func(ctx context.Context, host string) ([]string, error)) Source {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return Source{err: confError("DNS wants a host and a port, such as calc.internal:9000: %v", err)}
	case host == "":
		return Source{err: confError("DNS wants a host and a port, such as calc.internal:9000: there is no host in %q", address)}
	case port == "":
		return Source{err: confError("DNS wants a host and a port, such as calc.internal:9000: there is no port in %q", address)}
	}
	return lookedUp("the DNS name "+host, refresh, func(ctx context.Context) ([]string, error) {
		ips, err := lookupHost(ctx, host)
		for i, ip := range ips {
			ips[i] = net.JoinHostPort(ip, port)
		}
		return ips, err
	})
}

// Lookup is addresses that a function finds, from a registry of services for example. All
// else is as with [DNS]. Empty addresses and repetitions are left out. lookup is called by
// one goroutine at a time; its ctx ends after ten seconds.
func Lookup(lookup func(ctx context.Context) ([]string, error), refresh time.Duration) Source {
	if lookup == nil {
		return Source{err: confError("the function of Lookup is nil")}
	}
	return lookedUp("the lookup", refresh, lookup)
}

func lookedUp(name string, refresh time.Duration, lookup func(ctx context.Context) ([]string, error)) Source {
	if refresh < 0 {
		return Source{err: confError("refresh is negative")}
	}
	if refresh == 0 {
		refresh = DefaultRefresh
	}
	return Source{name: name, lookup: lookup, refresh: refresh}
}

// first looks the addresses up for the first time.
func (s Source) first(ctx context.Context) ([]string, error) {
	addresses, err := s.look(ctx)
	if err != nil {
		return nil, &base.Error{Outcome: base.NotSent, Code: base.ErrNotConnected, Message: "group: the servers' addresses were not found", Err: err}
	}
	return addresses, nil
}

// look looks the addresses up. There is one at least, and none twice. A panic of the
// function is an error.
func (s Source) look(ctx context.Context) (addresses []string, err error) {
	defer func() {
		if v := recover(); v != nil {
			addresses, err = nil, fmt.Errorf("%s panicked: %v", s.name, v)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addresses, err = s.lookup(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s failed: %w", s.name, err)
	}
	addresses = slices.Sorted(slices.Values(addresses))
	addresses = slices.DeleteFunc(slices.Compact(addresses), func(address string) bool { return address == "" })
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%s has no address", s.name)
	}
	return addresses, nil
}

// refresh looks the addresses up again and again. It is a goroutine of its own.
func (g *Group[T]) refresh() {
	for sleep(g.ctx, g.conf.Servers.refresh) {
		addresses, err := g.conf.Servers.look(g.ctx)
		switch {
		case g.ctx.Err() != nil:
		case err != nil:
			g.logger.Warn("the servers' addresses were not found: they stay as they were", "error", err)
		default:
			g.update(addresses)
		}
	}
}

// update makes the members those of the addresses. New ones begin to connect; of the
// others each finishes what it has.
func (g *Group[T]) update(addresses []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	var old, members []*member[T]
	if p := g.members.Load(); p != nil {
		old = *p
	}
	for _, address := range addresses {
		before := len(members)
		for _, m := range old {
			if m.address == address {
				members = append(members, m)
			}
		}
		if len(members) > before {
			continue
		}
		for i := range g.conf.PerAddress {
			m := newMember(g, address, i)
			members = append(members, m)
			g.all[m] = struct{}{}
			g.goLocked(m.run)
		}
	}
	for _, m := range old {
		if !slices.Contains(addresses, m.address) {
			m.leave()
		}
	}
	g.members.Store(&members)
	g.changeLocked()
}

// sleep returns false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
