package group

// DNSBy is DNS with another resolver.
var DNSBy = dns

// Numbered has the group go on as if so many of its clients had been made.
func (g *Group[T]) Numbered(clients uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clients = clients
}
