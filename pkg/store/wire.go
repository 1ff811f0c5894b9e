package store

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// What is written here is protobuf's wire format by hand: tagged fields, so that
// a reader skips what it does not know. Zero values are left out.

var errWireType = errors.New("field has another wire type than expected")

// decoder walks the fields of one message. The accessors return zero and set err
// when the field has another wire type.
type decoder struct {
	rest []byte
	num  protowire.Number
	typ  protowire.Type
	u    uint64
	v    []byte
	in   *origin
	err  error
}

func (d *decoder) next() bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	n := 0
	if d.num, d.typ, n = protowire.ConsumeTag(d.rest); n >= 0 {
		d.rest = d.rest[n:]
		n = d.value()
	}
	if n < 0 {
		d.err = protowire.ParseError(n)
		return false
	}
	d.rest = d.rest[n:]
	return true
}

func (d *decoder) value() (n int) {
	switch d.typ {
	case protowire.VarintType:
		d.u, n = protowire.ConsumeVarint(d.rest)
	case protowire.Fixed64Type:
		d.u, n = protowire.ConsumeFixed64(d.rest)
	case protowire.BytesType:
		d.v, n = protowire.ConsumeBytes(d.rest)
	default:
		n = protowire.ConsumeFieldValue(d.num, d.typ, d.rest)
	}
	return n
}

func (d *decoder) is(t protowire.Type) bool {
	if d.typ != t && d.err == nil {
		d.err = fmt.Errorf("field %d: %w", d.num, errWireType)
	}
	return d.typ == t
}

func (d *decoder) uint() uint64 {
	if !d.is(protowire.VarintType) {
		return 0
	}
	return d.u
}

func (d *decoder) fixed() uint64 {
	if !d.is(protowire.Fixed64Type) {
		return 0
	}
	return d.u
}

func (d *decoder) int() int   { return int(int64(d.uint())) }
func (d *decoder) bool() bool { return d.uint() != 0 }

// view is the field's bytes where they stand.
func (d *decoder) view() []byte {
	if !d.is(protowire.BytesType) {
		return nil
	}
	return d.v
}

// bytes is a copy, so that no record keeps a whole frame in memory.
func (d *decoder) bytes() []byte {
	return append([]byte(nil), d.view()...)
}

func (d *decoder) str() string { return string(d.view()) }

func (d *decoder) digest() (x xds.Digest) {
	b := d.view()
	if len(b) != len(x) && d.err == nil {
		d.err = fmt.Errorf("field %d: a digest of %d bytes", d.num, len(b))
		return x
	}
	copy(x[:], b)
	return x
}

// sub decodes the field as a message of its own.
func (d *decoder) sub(f func(*decoder)) {
	sub := decoder{rest: d.view(), in: d.in}
	f(&sub)
	if sub.err != nil && d.err == nil {
		d.err = fmt.Errorf("field %d: %w", d.num, sub.err)
	}
}

func putUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func putBool(b []byte, num protowire.Number, v bool) []byte {
	return putUint(b, num, protowire.EncodeBool(v))
}

func putFixed(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), v)
}

func putBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func putString(b []byte, num protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return putElement(b, num, v)
}

// putElement writes empty strings too: one of a list.
func putElement(b []byte, num protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func putStrings(b []byte, num protowire.Number, list []string) []byte {
	for _, v := range list {
		b = putElement(b, num, v)
	}
	return b
}

func putDigest(b []byte, num protowire.Number, d xds.Digest) []byte {
	if d.IsZero() {
		return b
	}
	return putBytes(b, num, d[:])
}

// putMessage writes what f appends as a message, an empty one too.
func putMessage(b []byte, num protowire.Number, f func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return prefixed(b, f)
}

// prefixed writes what f appends with its length before it.
func prefixed(b []byte, f func([]byte) []byte) []byte {
	at := len(b)
	b = f(b)
	n := len(b) - at
	var length [10]byte
	prefix := protowire.AppendVarint(length[:0], uint64(n))
	b = append(b, prefix...)
	copy(b[at+len(prefix):], b[at:at+n])
	copy(b[at:], prefix)
	return b
}
