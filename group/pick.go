package group

import "math/rand/v2"

// pick returns the member for a command; nil: none is connected. keyed tells whether the
// command has a key; members at the address to avoid are left out.
func (g *Group[T]) pick(key string, keyed bool, avoid string) *member[T] {
	members := *g.members.Load()
	switch {
	case keyed:
		return byKey(members, key, avoid)
	case g.conf.Strategy == LeastInFlight:
		return lessLoaded(members, avoid)
	}
	return g.inTurn(members, avoid)
}

// inTurn takes one after the other. The turns of one that can't be used go to the others, in
// turn, too.
func (g *Group[T]) inTurn(members []*member[T], avoid string) *member[T] {
	turn, n := g.turn.Add(1), uint64(len(members))
	if m := members[turn%n]; m.isUsable(avoid) {
		return m
	}
	if usable := count(members, avoid); usable > 0 {
		return nth(members, avoid, turn/n%usable)
	}
	return nil
}

// lessLoaded takes the less loaded of two. (Two random choices are nearly as good as
// looking at all, and do not send everybody to the same member at once: Michael
// Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.)
func lessLoaded[T any](members []*member[T], avoid string) *member[T] {
	i, j := two(uint64(len(members)))
	a, b := members[i], members[j]
	if !a.isUsable(avoid) || !b.isUsable(avoid) {
		usable := count(members, avoid)
		if usable == 0 {
			return nil
		}
		i, j = two(usable)
		a, b = nth(members, avoid, i), nth(members, avoid, j)
		if a == nil || b == nil { // lost at this very moment
			return a
		}
	}
	if a != b && b.load() < a.load() {
		return b
	}
	return a
}

// two returns two different random numbers below n, which is not 0; the same if n is 1.
func two(n uint64) (i, j uint64) {
	i = rand.Uint64N(n)
	if n == 1 {
		return i, i
	}
	if j = rand.Uint64N(n - 1); j >= i {
		j++
	}
	return i, j
}

// byKey takes the member with the highest score for the key: first the server's, then the
// connection's. Since each member's score depends on nothing but the key and itself, the
// loss of one moves its own keys only. (Rendezvous hashing: David Thaler and Chinya
// Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996.)
func byKey[T any](members []*member[T], key, avoid string) (best *member[T]) {
	h := hash(key)
	var server, conn uint64
	for _, m := range members {
		s := mix(h ^ m.server)
		if best != nil && s < server || !m.isUsable(avoid) {
			continue
		}
		if c := mix(h ^ m.conn); best == nil || s > server || c > conn {
			best, server, conn = m, s, c
		}
	}
	return best
}

// count returns how many members can be used.
func count[T any](members []*member[T], avoid string) (n uint64) {
	for _, m := range members {
		if m.isUsable(avoid) {
			n++
		}
	}
	return n
}

// nth returns the nth of the members that can be used, from 0; the last one if there are
// fewer, nil if there is none.
func nth[T any](members []*member[T], avoid string, n uint64) (m *member[T]) {
	for _, candidate := range members {
		if !candidate.isUsable(avoid) {
			continue
		}
		if m = candidate; n == 0 {
			return m
		}
		n--
	}
	return m
}

// hash is FNV-1a and mix: the same in every process.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix spreads each bit over all others. (The finalizer of Sebastiano Vigna's splitmix64.)
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
