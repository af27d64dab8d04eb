package mus_test

import (
	"context"
	"errors"
	"time"

	"github.com/mus-format/mus-stream-go/ord"
	"github.com/mus-format/mus-stream-go/raw"
	"github.com/mus-format/mus-stream-go/varint"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec/mus"
)

// step is one of the calls that a serializer of a struct consists of.
type step func() (int, error)

// each makes all calls, up to the first that fails.
func each(steps ...step) (n int, err error) {
	for _, one := range steps {
		more, err := one()
		n += more
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// write, read and skip are such steps.
func write[T any](v T, ser mus.Serializer[T], w mus.Writer) step {
	return func() (int, error) { return ser.Marshal(v, w) }
}

func read[T any](v *T, ser mus.Serializer[T], r mus.Reader) step {
	return func() (n int, err error) {
		*v, n, err = ser.Unmarshal(r)
		return n, err
	}
}

func skip[T any](ser mus.Serializer[T], r mus.Reader) step {
	return func() (int, error) { return ser.Skip(r) }
}

// add is a typed command.
type add struct{ A, B int }

func (c add) Run(context.Context, calc) (int, error) { return c.A + c.B, nil }

type addSer struct{}

func (addSer) Marshal(v add, w mus.Writer) (int, error) {
	return each(write(v.A, varint.Int, w), write(v.B, varint.Int, w))
}

func (addSer) Unmarshal(r mus.Reader) (v add, n int, err error) {
	n, err = each(read(&v.A, varint.Int, r), read(&v.B, varint.Int, r))
	return v, n, err
}

func (addSer) Size(v add) int { return varint.Int.Size(v.A) + varint.Int.Size(v.B) }

func (addSer) Skip(r mus.Reader) (int, error) { return each(skip(varint.Int, r), skip(varint.Int, r)) }

type calc struct{}

// everything has a field of each kind, and serializers of mus-stream-go as they are.
type everything struct {
	Text    string
	Long    string
	Bytes   []byte
	Numbers []int64
	ByName  map[string]add
	Pointer *add
	Array   [3]uint16
	Time    time.Time
	secret  float64 // it is written, so it is not lost
}

var (
	numbersSer = ord.NewSliceSer[int64](varint.Int64)
	byNameSer  = ord.NewMapSer[string, add](ord.String, addSer{})
	pointerSer = ord.NewPtrSer[add](addSer{})
	arraySer   = mus.NewArraySer[[3]uint16, uint16](raw.Uint16)
)

type everythingSer struct{}

func (everythingSer) Marshal(v everything, w mus.Writer) (int, error) {
	return each(
		write(v.Text, ord.String, w), write(v.Long, mus.String, w), write(v.Bytes, ord.ByteSlice, w), write(v.Numbers, numbersSer, w), write(v.ByName, byNameSer, w),
		write(v.Pointer, pointerSer, w), write(v.Array, arraySer, w), write(v.Time, raw.TimeUnixNanoUTC, w), write(v.secret, raw.Float64, w),
	)
}

func (everythingSer) Unmarshal(r mus.Reader) (v everything, n int, err error) {
	n, err = each(
		read(&v.Text, ord.String, r), read(&v.Long, mus.String, r), read(&v.Bytes, ord.ByteSlice, r), read(&v.Numbers, numbersSer, r), read(&v.ByName, byNameSer, r),
		read(&v.Pointer, pointerSer, r), read(&v.Array, arraySer, r), read(&v.Time, raw.TimeUnixNanoUTC, r), read(&v.secret, raw.Float64, r),
	)
	return v, n, err
}

func (everythingSer) Size(v everything) int {
	return ord.String.Size(v.Text) + mus.String.Size(v.Long) + ord.ByteSlice.Size(v.Bytes) + numbersSer.Size(v.Numbers) + byNameSer.Size(v.ByName) +
		pointerSer.Size(v.Pointer) + arraySer.Size(v.Array) + raw.TimeUnixNanoUTC.Size(v.Time) + raw.Float64.Size(v.secret)
}

func (everythingSer) Skip(r mus.Reader) (int, error) {
	return each(
		skip(ord.String, r), skip(mus.String, r), skip(ord.ByteSlice, r), skip(numbersSer, r), skip(byNameSer, r),
		skip(pointerSer, r), skip(arraySer, r), skip(raw.TimeUnixNanoUTC, r), skip(raw.Float64, r),
	)
}

// tree nests in itself.
type tree struct{ Children []tree }

type treeSer struct{}

func (treeSer) children() mus.Serializer[[]tree] { return ord.NewSliceSer[tree](treeSer{}) }

func (s treeSer) Marshal(v tree, w mus.Writer) (int, error) {
	return s.children().Marshal(v.Children, w)
}

func (s treeSer) Unmarshal(r mus.Reader) (v tree, n int, err error) {
	v.Children, n, err = s.children().Unmarshal(r)
	return v, n, err
}

func (s treeSer) Size(v tree) int                { return s.children().Size(v.Children) }
func (s treeSer) Skip(r mus.Reader) (int, error) { return s.children().Skip(r) }

// broken is a serializer whose methods fail, or do what they shouldn't.
type broken struct {
	mus.Serializer[string]
	marshal, skip error
	skips         int
}

var errBroken = errors.New("broken")

func (b broken) Marshal(v string, w mus.Writer) (int, error) {
	w.WriteByte(1)
	return 1, b.marshal
}

func (b broken) Skip(r mus.Reader) (int, error) {
	for range b.skips {
		r.ReadByte()
	}
	return b.skips, b.skip
}

// addCmd is a command of the command form.
type addCmd add

func (c addCmd) Exec(_ context.Context, _ time.Time, seq base.Seq, _ calc, proxy base.Proxy) error {
	return proxy.Send(seq, sum(c.A+c.B))
}

type addCmdSer struct{ addSer }

func (s addCmdSer) Marshal(v addCmd, w mus.Writer) (int, error) { return s.addSer.Marshal(add(v), w) }
func (s addCmdSer) Size(v addCmd) int                           { return s.addSer.Size(add(v)) }
func (s addCmdSer) Unmarshal(r mus.Reader) (addCmd, int, error) {
	v, n, err := s.addSer.Unmarshal(r)
	return addCmd(v), n, err
}

// sum is its result.
type sum int

func (sum) LastOne() bool { return true }

type sumSer struct{}

func (sumSer) Marshal(v sum, w mus.Writer) (int, error) { return varint.Int.Marshal(int(v), w) }
func (sumSer) Size(v sum) int                           { return varint.Int.Size(int(v)) }
func (sumSer) Skip(r mus.Reader) (int, error)           { return varint.Int.Skip(r) }
func (sumSer) Unmarshal(r mus.Reader) (sum, int, error) {
	v, n, err := varint.Int.Unmarshal(r)
	return sum(v), n, err
}

// doubled writes twice the number.
type doubled struct{ mus.Serializer[int] }

func (doubled) Marshal(v int, w mus.Writer) (int, error) { return varint.Int.Marshal(2*v, w) }
