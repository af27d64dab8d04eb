// Package debug shows what servers and clients are doing, live, on a page in the browser:
// connections, sessions, commands in flight with their age, rates, latencies and recent
// failures by type of command. It needs no collector and loads nothing from elsewhere.
//
//	page := debug.New()
//	s, err := server.New(set.Server(), calc, server.Conf[Calc]{Use: []handler.Middleware[Calc]{debug.Server[Calc](page)}})
//	page.WatchServer("calc", s)
//	http.Handle(debug.Path, page) // on a listener of the operators' own
//
// The page shows addresses, the names of clients and the texts of errors, and asks nobody
// who they are: put it on a private listener, such as one on 127.0.0.1. It changes nothing.
//
// With ?format=json it is a [Snapshot].
package debug

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// Path is where the page is, by convention: where the tool looks for it.
const Path = "/debug/cmdstream"

// Page is the page, an http.Handler, and what it shows: it counts the commands that pass
// through [Server] and [Client], and asks the servers and clients that it watches. It has
// no goroutine and needs no closing. It may be used by many goroutines at once.
type Page struct {
	since          time.Time
	server, client kinds
	open           inFlight

	mu      sync.Mutex // protects what follows
	servers []*watchedServer
	clients []*watchedClient
}

type watchedServer struct {
	name   string
	server *server.Server
}

type watchedClient struct {
	name   string
	client Connections
}

// Connections is what a Page needs of a client. *client.Client is one.
type Connections interface {
	State() client.State
	Stats() client.Stats
	Err() error
	Connections() []client.ConnInfo
}

// New returns a Page that has seen nothing yet.
func New() *Page {
	p := &Page{since: time.Now()}
	p.server.init(ServerSide)
	p.client.init(ClientSide)
	return p
}

// WatchServer has the page show the server's connections and counters, under a name, until
// stop is called. Its commands are seen by [Server].
func (p *Page) WatchServer(name string, s *server.Server) (stop func()) {
	w := &watchedServer{cut(name), s}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, w)
	return func() { forget(p, &p.servers, w) }
}

// WatchClient has the page show the client's state, connections and counters, under a name, until
// stop is called. Its commands are seen by [Client].
func (p *Page) WatchClient(name string, c Connections) (stop func()) {
	w := &watchedClient{cut(name), c}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients = append(p.clients, w)
	return func() { forget(p, &p.clients, w) }
}

func forget[W comparable](p *Page, watched *[]W, w W) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*watched = slices.DeleteFunc(*watched, func(one W) bool { return one == w })
}

// Snapshot returns what the page shows at this moment.
func (p *Page) Snapshot() *Snapshot {
	p.mu.Lock()
	servers, clients := slices.Clone(p.servers), slices.Clone(p.clients)
	p.mu.Unlock()
	now := time.Now()
	age := now.Sub(p.since)
	snapshot := &Snapshot{
		Version: Version, Time: now, Since: p.since,
		Servers: []ServerInfo{}, Clients: []ClientInfo{}, Commands: []CommandInfo{}, Oldest: p.open.list(age),
	}
	for _, w := range servers {
		snapshot.Servers = append(snapshot.Servers, w.info())
	}
	for _, w := range clients {
		snapshot.Clients = append(snapshot.Clients, w.info())
	}
	for _, side := range []*kinds{&p.server, &p.client} {
		all := side.all()
		slices.SortFunc(all, func(a, b *kind) int { return cmp.Compare(a.name, b.name) })
		for _, k := range all {
			info := k.info(int64(age / time.Second))
			snapshot.Commands = append(snapshot.Commands, info)
			snapshot.InFlight += info.InFlight
		}
	}
	return snapshot
}

func (w *watchedServer) info() ServerInfo {
	info := ServerInfo{Name: w.name, Stats: w.server.Stats(), Connections: []ConnInfo{}}
	for _, c := range w.server.Connections(MaxConnections) {
		info.Connections = append(info.Connections, ConnInfo{
			Remote: remote{c.RemoteAddr}.String(), Since: c.Since, Principal: cut(c.Principal), Session: c.Session,
			InFlight: c.Running, Received: c.Received, Held: c.Held,
		})
	}
	return info
}

func (w *watchedClient) info() ClientInfo {
	info := ClientInfo{Name: w.name, State: w.client.State().String(), Stats: w.client.Stats(), Connections: []ConnInfo{}}
	if err := w.client.Err(); err != nil {
		info.Error = cut(textOf(err))
	}
	all := w.client.Connections()
	for _, c := range all[:min(len(all), MaxConnections)] {
		info.Connections = append(info.Connections, ConnInfo{
			Remote: remote{c.RemoteAddr}.String(), Since: c.Since, Session: c.Session,
			InFlight: c.InFlight, Received: c.Received, Leaving: c.Leaving,
		})
	}
	return info
}
