// Package codec makes the codecs of a client and a server from a set of typed
// commands and a format, such as codec/json.
//
// A set gives each command a tag, which is what names it on the wire, like the
// field numbers of protobuf: once in use, a tag keeps its command for good.
//
//	set := codec.NewSet[Calc](json.Format{})
//	codec.Unary[Add](set, 1)
//	codec.Stream[Count](set, 2)
//
// A client gets set.Client(), a server set.Server(). The two sides may have
// different sets, and be deployed in any order: at connect the client learns which of its
// commands the server has, by tag, name and a hash of the fields. One that the server lacks,
// or reads differently, is Rejected at the client with [base.ErrUnknownCmd], and all others
// work. See [Set.IgnoreFields], [base.Named], and [Set.Reflect] for tools.
//
// # On the wire
//
// A command is its tag (uvarint), the length n of its body (uvarint), and n
// bytes of the format. A result is n+1 (uvarint) and n bytes of the format; a
// single 0 is the end of a stream. So both end by themselves, and nothing behind
// them is read. A result carries no tag: the client knows which command it sent,
// and gives it to [ClientCodec.DecodeFor].
package codec
