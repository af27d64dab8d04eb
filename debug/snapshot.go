package debug

import (
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// Version is that of the JSON. It rises when a field goes away or changes its meaning;
// further fields may come without that.
const Version = 1

// A Snapshot is what a [Page] shows, at a moment: the JSON at ?format=json is this type.
// Durations are in nanoseconds, and no list is null.
type Snapshot struct {
	// Version is [Version].
	Version int `json:"version"`
	// Time is when the snapshot was taken, and Since when the Page was made: what is
	// counted is counted since then.
	Time  time.Time `json:"time"`
	Since time.Time `json:"since"`
	// Servers and Clients are those that the Page watches, in the order in which it was
	// told of them.
	Servers []ServerInfo `json:"servers"`
	Clients []ClientInfo `json:"clients"`
	// Commands are the types of commands that have come by, in the order of their names,
	// the server's before the client's.
	Commands []CommandInfo `json:"commands"`
	// InFlight is how many commands are open, at both sides together, and Oldest are those that have been for
	// longest, [MaxOldest] at most, the oldest first.
	InFlight int64         `json:"in_flight"`
	Oldest   []RunningInfo `json:"oldest"`
}

// ServerInfo is a server.
type ServerInfo struct {
	Name string `json:"name"`
	// Stats has the names of its fields as keys.
	Stats server.Stats `json:"stats"`
	// Connections are the oldest ones, [MaxConnections] at most, the oldest first.
	// Stats.Connections is how many there are.
	Connections []ConnInfo `json:"connections"`
}

// ClientInfo is a client.
type ClientInfo struct {
	Name string `json:"name"`
	// State is "connected", "connecting" or "closed".
	State string `json:"state"`
	// Error is why it is closed; "" while it is not.
	Error string `json:"error,omitempty"`
	// Stats has the names of its fields as keys.
	Stats client.Stats `json:"stats"`
	// Connections are those that are up, [MaxConnections] at most.
	Connections []ConnInfo `json:"connections"`
}

// ConnInfo is a connection.
type ConnInfo struct {
	// Remote is the peer's address.
	Remote string    `json:"remote"`
	Since  time.Time `json:"since"`
	// Principal is who the client is, of a server that knows: what Authenticate returned,
	// or a sum of the client's certificate.
	Principal string `json:"principal,omitempty"`
	// Session is the beginning of the session's id; "": there is none.
	Session string `json:"session,omitempty"`
	// InFlight is how many commands are open on it.
	InFlight int `json:"in_flight"`
	// Received is how many bytes have come, and Held how many bytes of commands a
	// server holds for it.
	Received int64 `json:"received_bytes"`
	Held     int64 `json:"held_bytes,omitempty"`
	// Leaving is true of a client's connection that only finishes what it has.
	Leaving bool `json:"leaving,omitempty"`
}

// Sides of a command.
const (
	ServerSide = "server"
	ClientSide = "client"
)

// CommandInfo is a type of commands, at one side.
type CommandInfo struct {
	// Name is the Go type; [Other] stands for all beyond [MaxTypes].
	Name string `json:"name"`
	// Side is [ServerSide] or [ClientSide].
	Side string `json:"side"`
	// InFlight is how many are open.
	InFlight int64 `json:"in_flight"`
	// Succeeded and Failed are how many have ended.
	Succeeded uint64 `json:"succeeded"`
	Failed    uint64 `json:"failed"`
	// PerSecond is how many ended in each of the last [Seconds] full seconds, the oldest
	// first, and FailedPerSecond how many of them failed.
	PerSecond       []uint32 `json:"per_second"`
	FailedPerSecond []uint32 `json:"failed_per_second"`
	// Latency is how long those took that have ended.
	Latency Latency `json:"latency"`
	// Failures are the last [MaxFailures], the newest first.
	Failures []FailureInfo `json:"failures"`
}

// Latency is how long commands took: at a server from when the command was read until it
// returned, at a client from the call until its last result, or its error. The quantiles
// are right within an eighth.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
	// Buckets are those of the histogram that hold anything, in rising order.
	Buckets []Bucket `json:"buckets"`
}

// Bucket is how many commands took less than Below, and not less than the Below of the
// bucket before it.
type Bucket struct {
	Below time.Duration `json:"below_ns"`
	Count uint64        `json:"count"`
}

// FailureInfo is a command that failed.
type FailureInfo struct {
	Time time.Time `json:"time"`
	// Text is the error's, cut to [MaxText] bytes, Code its base.Code, where it has one,
	// and Outcome what is known of the command, as base.Outcome writes it.
	Text    string `json:"text"`
	Code    string `json:"code,omitempty"`
	Outcome string `json:"outcome"`
	// Remote and Seq are as in [RunningInfo].
	Remote string `json:"remote,omitempty"`
	Seq    int64  `json:"seq,omitempty"`
}

// RunningInfo is a command that is open.
type RunningInfo struct {
	Name string        `json:"name"`
	Side string        `json:"side"`
	Age  time.Duration `json:"age_ns"`
	// Remote is the client's address, and Seq the command's number, both at a server only.
	Remote string `json:"remote,omitempty"`
	Seq    int64  `json:"seq,omitempty"`
}

// What a Page shows, and keeps, at most.
const (
	// MaxTypes is how many types of commands are told apart at each side. The others are
	// counted together, as [Other].
	MaxTypes = 512
	// MaxConnections is how many connections of each server and client are listed.
	MaxConnections = 100
	// MaxOldest is how many open commands are listed.
	MaxOldest = 100
	// MaxFailures is how many failures are kept of each type.
	MaxFailures = 16
	// MaxText is how many bytes of a failure's text are kept.
	MaxText = 256
	// Seconds is how far back rates go.
	Seconds = 60

	// Other is the name of all types beyond MaxTypes.
	Other = "(other)"
)
