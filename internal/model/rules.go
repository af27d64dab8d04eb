package main

import "slices"

// A rule of docs/spec.md can be left out, to see what it is there for.
type rule struct {
	name     string
	says     string // what is done without it
	scenario string // that shows it
	besides  *rule  // the peer keeps not to that one: this is what is checked then; nil: it keeps to all
}

// rules are those by which client and server go, and those by which one of them finds out that
// the other does not. Not among them are rules of what is not here: of form (V, H, F, C1 to C4,
// L1, Z), of time (D, A1, A3, A4), of sizes and of how much there may be (S5, S7, S8, C5, C7, C8,
// C13, C14, I1, I2, I6, N9, Q5), of goaway (G); what follows from another (C10 and I7 from C6 and
// S6, C12 from S5, X2 from S1); what only permits (L10); nor that a server notices a list or an
// ack that no client makes (L5, Q4).
var rules []*rule

func newRule(scenario, name, says string) *rule {
	return newCheck(nil, scenario, name, says)
}

// newCheck is a rule that is of use where the peer does not keep to another.
func newCheck(besides *rule, scenario, name, says string) *rule {
	r := &rule{name, says, scenario, besides}
	rules = append(rules, r)
	return r
}

var (
	n1       = newRule("servers", "N1", "an id that stood in an opening hello is used for another one")
	n2       = newRule("servers", "N2", "to resume creates the session")
	n3       = newRule("commands", "N3", "a hello with an old epoch is taken")
	n4       = newRule("commands", "N4", "the server answers while its old reader still has a frame in hand")
	n5       = newRule("streams", "N5, the reader", "the client lists its slots while its old reader still has a frame in hand")
	n5writer = newRule("servers", "N5, the writer", "the client takes for not sent what its old writer has in hand")
	n6       = newRule("theft", "N6", "who knows a session's id resumes it")
	n7       = newRule("commands", "N7", "a cut ends the session")
	n8       = newRule("commands", "N8", "a session with a connection is given up")
	n10      = newRule("again", "N10", "an idempotent command goes out again after results were taken")
	n10id    = newRule("again", "N10, the origin", "a command that goes out again has another CommandID")
	n10told  = newRule("servers", "N10, the outcome", "a command that went out again is told to be not sent, though it may have run before")
	n10any   = newRule("servers", "N10, idempotent", "a command that is not idempotent goes out again in another session")
	l1       = newRule("commands", "L1", "new commands do not wait for the list")
	l2       = newRule("streams", "L2", "what is not listed is kept")
	l3       = newRule("streams", "L3", "results go out before the answer")
	l4       = newRule("pieces", "L4, in pieces", "a command of which a piece came is told to be seen")
	l4reject = newRule("pieces", "L4, rejected", "a command that was rejected is told to be seen")
	l6       = newRule("streams", "L6, from the seen", "results are sent again from the first that is kept")
	l6ended  = newRule("commands", "L6, the end", "of a command that has ended nothing is sent again")
	l7       = newRule("streams", "L7", "the credit in a list is not taken")
	l8       = newRule("commands", "L8", "an unseen command is not sent again")
	l8cancel = newRule("cancels", "L8, canceled", "an unseen command that was canceled keeps its slot")
	l9       = newRule("cancels", "L9, the cancel", "a cancel that came while there was no connection is forgotten")
	l9inputs = newRule("inputs", "L9, inputs", "inputs go on without the answer")
	q1       = newRule("streams", "Q1", "what was credited counts as acknowledged")
	l6below  = newCheck(q1, "streams", "L6, besides Q1", "and who asks for what is not kept gets what is")
	q2       = newRule("streams", "Q2", "a large result is not acknowledged")
	q3       = newRule("streams", "Q3", "what is listed releases nothing of the command before")
	s1       = newRule("cancels", "S1", "a canceled command's slot is free at once")
	s2       = newCheck(s1, "cancels", "S2, besides S1", "which it does in silence, and a slot takes a second command while one is open")
	s3       = newCheck(n4, "commands", "S3, besides N4", "and a slot takes a command that it had before")
	s4       = newRule("pieces", "S4", "the first piece of a command does not count")
	s6       = newRule("cancels", "S6", "a frame that crossed the end of its command ends the connection")
	s6lock   = newRule("cancels", "S6, the slot's lock", "a cancel goes out although its slot is another command's by now")
	c6       = newRule("pieces", "C6", "a command that its client gave up half-way is run")
	c9       = newRule("pieces", "C9", "a slot is used again though its command's last piece was not sent")
	c11      = newRule("pieces", "C11", "a piece outlives its connection")
	k1       = newRule("streams", "K1", "a server sends results as they are made, without credit")
	k2       = newRule("streams", "K2", "no credit is given back")
	k3       = newCheck(k1, "streams", "K3, besides K1", "and the client takes them")
	x1       = newRule("cancels", "X1", "a canceled command just stops")
	i3       = newRule("inputs", "I3", "the end of the inputs does not count in a list")
	i4       = newRule("inputs", "I4", "no credit for inputs is given")
	i5       = newRule("inputs", "I5", "inputs are forgotten once they are sent")
	a2       = newRule("commands", "A2", "nobody notices that a connection is dead")
)

// What commands can be.
var (
	plain      = program{results: 1}
	idempotent = program{results: 1, idempotent: true}
	stream     = program{results: 3, large: true}
	wide       = program{results: 3, large: true, wide: true}
	again      = program{results: 2, idempotent: true}
	pieces     = program{results: 1, pieces: true}
	inputs     = program{results: 1, inputs: 2}
	endless    = program{endless: true}
)

// A scenario is what the client sends, and what the adversary may do.
type scenario struct {
	name     string
	programs []program
	servers  uint8
	budget
}

var scenarios = []scenario{
	{"commands", []program{plain, plain, plain, plain}, 1, budget{cuts: 2, evictions: 1}},
	{"streams", []program{wide, plain}, 1, budget{cuts: 2, cancels: 1}},
	{"two streams", []program{stream, stream}, 1, budget{cuts: 2, cancels: 1}},
	{"pieces", []program{pieces, pieces, plain}, 1, budget{cuts: 2, cancels: 1, rejections: 1}},
	{"inputs", []program{inputs, plain}, 1, budget{cuts: 2, cancels: 1}},
	{"cancels", []program{endless, plain, plain}, 1, budget{cuts: 2, cancels: 1}},
	{"servers", []program{plain, idempotent}, 2, budget{cuts: 2, cancels: 1}},
	{"again", []program{again, plain}, 1, budget{cuts: 2, evictions: 1, restarts: 1}},
	{"theft", []program{plain, stream}, 1, budget{cuts: 2, thefts: 1}},
}

// further are those of -full.
var further = []scenario{
	{"at odds", []program{plain, plain, plain, plain}, 1, budget{cuts: 2, evictions: 1, cancels: 2, rejections: 1}},
	{"conversation", []program{inputs, stream}, 1, budget{cuts: 2, cancels: 1}},
	{"three cuts", []program{plain, stream, endless}, 1, budget{cuts: 3, cancels: 1}},
	{"restarts", []program{plain, idempotent}, 2, budget{cuts: 2, restarts: 1}},
	{"all", []program{pieces, endless, again}, 2, budget{cuts: 2, evictions: 1, cancels: 1}},
}

func scenarioNamed(name string) scenario {
	return scenarios[slices.IndexFunc(scenarios, func(x scenario) bool { return x.name == name })]
}
