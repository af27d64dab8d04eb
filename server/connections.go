package server

import (
	"slices"

	"github.com/cmdstream/cmdstream/handler"
)

// ConnInfo is what a server has of a connection at a moment.
type ConnInfo = handler.ConnInfo

// Connections returns the connections whose hello is over, limit of them at most, those
// that have been there for longest first. It may be called at any time, and takes time in
// proportion to the number of connections.
func (s *Server) Connections(limit int) []ConnInfo {
	workers := s.list()
	infos := make([]ConnInfo, len(workers))
	for i, w := range workers {
		infos[i] = w.Info()
	}
	slices.SortFunc(infos, func(a, b ConnInfo) int { return a.Since.Compare(b.Since) })
	return slices.Clip(infos[:min(max(limit, 0), len(infos))])
}
