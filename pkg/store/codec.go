package store

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The field numbers of every message stand in docs/format.md: never reuse one.

// kindField is the field of a Record that holds what a kind sets.
const kindField = 9

// putRecord appends r without its Seq: the frame's head gives the numbers. What to
// has told before is only named; with a nil to everything is told.
func putRecord(b []byte, r *xds.Record, to *target) []byte {
	if !r.Time.IsZero() {
		b = protowire.AppendTag(b, 1, protowire.VarintType)
		b = protowire.AppendVarint(b, protowire.EncodeZigZag(r.Time.Unix()))
		b = putUint(b, 2, uint64(r.Time.Nanosecond()))
	}
	b = putUint(b, 3, uint64(r.Took))
	b = putUint(b, 4, uint64(r.Kind))
	b = putUint(b, 5, r.Stream)
	if !r.Sidecar.IsZero() {
		b = putMessage(b, 6, func(b []byte) []byte { return putSidecar(b, r.Sidecar) })
	}
	b = putBytes(b, 7, r.Extra)
	return putKind(b, r, to)
}

func putKind(b []byte, r *xds.Record, to *target) []byte {
	put := func(set bool, k xds.Kind, f func([]byte) []byte) {
		if set {
			b = putMessage(b, kindField+protowire.Number(k), f)
		}
	}
	put(r.Open != nil, xds.KindOpen, func(b []byte) []byte { return putOpen(b, r.Open) })
	put(r.Request != nil, xds.KindRequest, func(b []byte) []byte { return putRequest(b, r.Request, to) })
	put(r.Push != nil, xds.KindPush, func(b []byte) []byte { return putPush(b, r.Push, to) })
	put(r.Answer != nil, xds.KindAnswer, func(b []byte) []byte { return putAnswer(b, r.Answer, to) })
	put(r.Close != nil, xds.KindClose, func(b []byte) []byte { return putClose(b, r.Close) })
	put(r.Gap != nil, xds.KindGap, func(b []byte) []byte { return putGap(b, r.Gap) })
	put(r.Base != nil, xds.KindBase, func(b []byte) []byte { return putBase(b, r.Base, to) })
	return b
}

// getRecord reads what putRecord wrote. Nothing of the result shares memory with b.
// An error that wraps a *lostError leaves the rest of the record readable.
func getRecord(b []byte, in *origin) (r xds.Record, err error) {
	d := decoder{rest: b, in: in}
	var sec, nano int64
	timed := false
	for d.next() {
		switch d.num {
		case 1:
			sec, timed = protowire.DecodeZigZag(d.uint()), true
		case 2:
			nano = int64(d.uint())
		case 3:
			r.Took = time.Duration(d.uint())
		case 4:
			r.Kind = xds.Kind(d.uint())
		case 5:
			r.Stream = d.uint()
		case 6:
			d.sub(func(d *decoder) { r.Sidecar = getSidecar(d) })
		case 7:
			r.Extra = d.bytes()
		default:
			getKind(&d, &r)
		}
	}
	if timed {
		r.Time = time.Unix(sec, nano).UTC()
	}
	return r, d.err
}

func getKind(d *decoder, r *xds.Record) {
	switch xds.Kind(d.num - kindField) {
	case xds.KindOpen:
		d.sub(func(d *decoder) { r.Open = getOpen(d) })
	case xds.KindRequest:
		d.sub(func(d *decoder) { r.Request = getRequest(d) })
	case xds.KindPush:
		d.sub(func(d *decoder) { r.Push = getPush(d) })
	case xds.KindAnswer:
		d.sub(func(d *decoder) { r.Answer = getAnswer(d) })
	case xds.KindClose:
		d.sub(func(d *decoder) { r.Close = getClose(d) })
	case xds.KindGap:
		d.sub(func(d *decoder) { r.Gap = getGap(d) })
	case xds.KindBase:
		d.sub(func(d *decoder) { r.Base = getBase(d) })
	}
}

func putSidecar(b []byte, s xds.Sidecar) []byte {
	b = putString(b, 1, s.Node)
	b = putString(b, 2, s.Cluster)
	return putString(b, 3, s.Mesh)
}

func getSidecar(d *decoder) (s xds.Sidecar) {
	for d.next() {
		switch d.num {
		case 1:
			s.Node = d.str()
		case 2:
			s.Cluster = d.str()
		case 3:
			s.Mesh = d.str()
		}
	}
	return s
}

// putLists writes a map of lists, in the order of the keys so that equal records
// have equal bytes.
func putLists(b []byte, num protowire.Number, m map[string][]string) []byte {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = putMessage(b, num, func(b []byte) []byte {
			return putStrings(putString(b, 1, k), 2, m[k])
		})
	}
	return b
}

func getLists(d *decoder, m map[string][]string) map[string][]string {
	if m == nil {
		m = map[string][]string{}
	}
	var key string
	var list []string
	for d.next() {
		switch d.num {
		case 1:
			key = d.str()
		case 2:
			list = append(list, d.str())
		}
	}
	m[key] = list
	return m
}
