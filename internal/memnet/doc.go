// Package memnet is a network in memory, for tests. Its connections behave like
// TCP connections, and on demand like those of a bad day: see [Plan].
//
// It starts no goroutines, but for timers that run out, and all waiting in it is
// durable blocking in the sense of testing/synctest. So in a bubble, deadlines,
// delays and lost peers take no real time. What is made in a bubble has to be
// used in it.
package memnet

// DefaultSize is the size of the buffer of a direction.
const DefaultSize = 64 << 10
