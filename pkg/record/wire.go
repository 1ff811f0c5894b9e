package record

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one protobuf field as it stands on the wire.
type field struct {
	num protowire.Number
	typ protowire.Type
	raw []byte // tag included
	val []byte // contents of a length-delimited field, else nil
}

func (f field) bytes() bool { return f.typ == protowire.BytesType }

// each calls f for every field of message b, in wire order.
func each(b []byte, f func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("reading a field's tag: %w", protowire.ParseError(n))
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return fmt.Errorf("reading field %d: %w", num, protowire.ParseError(m))
		}
		x := field{num: num, typ: typ, raw: b[:n+m]}
		if typ == protowire.BytesType {
			x.val, _ = protowire.ConsumeBytes(b[n:])
		}
		if err := f(x); err != nil {
			return err
		}
		b = b[n+m:]
	}
	return nil
}

// ordered is a message under construction whose fields come out in number
// order, equal numbers in the order of adding: the order in which Envoy's and
// Go's encoders write.
type ordered []field

func (o *ordered) raw(f field) { *o = append(*o, field{num: f.num, raw: f.raw}) }

func (o *ordered) bytes(num protowire.Number, b []byte) {
	raw := protowire.AppendTag(make([]byte, 0, len(b)+6), num, protowire.BytesType)
	*o = append(*o, field{num: num, raw: protowire.AppendBytes(raw, b)})
}

func (o *ordered) str(num protowire.Number, s string) {
	if s != "" {
		o.bytes(num, []byte(s))
	}
}

func (o *ordered) strs(num protowire.Number, ss []string) {
	for _, s := range ss {
		o.bytes(num, []byte(s))
	}
}

// fields adds every field of an encoded message.
func (o *ordered) fields(b []byte) {
	// What is added was read by each before, so there is no error to meet here.
	_ = each(b, func(f field) error { o.raw(f); return nil })
}

func (o ordered) encode() []byte {
	slices.SortStableFunc(o, func(a, b field) int { return int(a.num) - int(b.num) })
	n := 0
	for _, f := range o {
		n += len(f.raw)
	}
	if n == 0 {
		return nil
	}
	out := make([]byte, 0, n)
	for _, f := range o {
		out = append(out, f.raw...)
	}
	return out
}

// varint reads the value of a varint field.
func (f field) varint() uint64 {
	_, _, n := protowire.ConsumeTag(f.raw)
	v, _ := protowire.ConsumeVarint(f.raw[n:])
	return v
}

// duration reads a google.protobuf.Duration; ok only when encodeDuration gives
// the same bytes back.
func duration(b []byte) (time.Duration, bool) {
	var sec, nano int64
	err := each(b, func(f field) error {
		switch {
		case f.num == 1 && f.typ == protowire.VarintType:
			sec = int64(f.varint())
		case f.num == 2 && f.typ == protowire.VarintType:
			nano = int64(f.varint())
		}
		return nil
	})
	const most = int64(1<<63-1) / int64(time.Second)
	if err != nil || sec < 0 || nano < 0 || sec >= most {
		return 0, false
	}
	d := time.Duration(sec)*time.Second + time.Duration(nano)
	return d, d > 0 && slices.Equal(encodeDuration(d), b)
}

func encodeDuration(d time.Duration) []byte {
	var b []byte
	if s := uint64(d / time.Second); s != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), s)
	}
	if n := uint64(d % time.Second); n != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), n)
	}
	return b
}
