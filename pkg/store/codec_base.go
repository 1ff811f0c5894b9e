package store

import (
	"encoding/binary"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func putBase(b []byte, x *xds.Base, to *target) []byte {
	b = putUint(b, 1, x.Push)
	b = putDigest(b, 2, x.Node)
	for _, s := range x.Streams {
		b = putMessage(b, 3, func(b []byte) []byte {
			b = putUint(b, 1, s.Stream)
			return putMessage(b, 2, func(b []byte) []byte { return putOpen(b, &s.Open) })
		})
	}
	for i := range x.Types {
		b = putMessage(b, 4, func(b []byte) []byte { return putBaseType(b, &x.Types[i], to) })
	}
	for i := range x.Pending {
		b = putMessage(b, 5, func(b []byte) []byte { return putBasePush(b, &x.Pending[i]) })
	}
	return b
}

func getBase(d *decoder) *xds.Base {
	x := &xds.Base{}
	for d.next() {
		switch d.num {
		case 1:
			x.Push = d.uint()
		case 2:
			x.Node = d.digest()
		case 3:
			d.sub(func(d *decoder) { x.Streams = append(x.Streams, getBaseStream(d)) })
		case 4:
			d.sub(func(d *decoder) { x.Types = append(x.Types, getBaseType(d)) })
		case 5:
			d.sub(func(d *decoder) { x.Pending = append(x.Pending, getBasePush(d)) })
		}
	}
	return x
}

func getBaseStream(d *decoder) (s xds.BaseStream) {
	for d.next() {
		switch d.num {
		case 1:
			s.Stream = d.uint()
		case 2:
			d.sub(func(d *decoder) { s.Open = *getOpen(d) })
		}
	}
	return s
}

func putBaseType(b []byte, t *xds.BaseType, to *target) []byte {
	b = putString(b, 1, t.Type)
	b = putString(b, 2, t.Uncertain)
	if to != nil && len(t.Resources) > 0 {
		return putMessage(b, 4, func(b []byte) []byte { return putBaseList(b, t.Resources, to) })
	}
	for i := range t.Resources {
		b = putMessage(b, 3, func(b []byte) []byte { return putBaseEntry(b, &t.Resources[i]) })
	}
	return b
}

func getBaseType(d *decoder) (t xds.BaseType) {
	for d.next() {
		switch d.num {
		case 1:
			t.Type = d.str()
		case 2:
			t.Uncertain = d.str()
		case 3:
			d.sub(func(d *decoder) { t.Resources = append(t.Resources, getBaseEntry(d)) })
		case 4:
			d.sub(func(d *decoder) { t.Resources = getBaseList(d) })
		}
	}
	return t
}

func putBaseEntry(b []byte, e *xds.BaseEntry) []byte {
	b = putString(b, 1, e.Name)
	b = putDigest(b, 2, e.Digest)
	b = putUint(b, 3, uint64(e.Held))
	return putUint(b, 4, e.Stream)
}

func getBaseEntry(d *decoder) (e xds.BaseEntry) {
	for d.next() {
		switch d.num {
		case 1:
			e.Name = d.str()
		case 2:
			e.Digest = d.digest()
		case 3:
			e.Held = xds.Held(d.uint())
		case 4:
			e.Stream = d.uint()
		}
	}
	return e
}

func putBasePush(b []byte, p *xds.BasePush) []byte {
	b = putUint(b, 1, p.Number)
	b = putUint(b, 2, p.Stream)
	b = putString(b, 3, p.Type)
	b = putString(b, 4, p.Nonce)
	b = putStrings(b, 5, p.Names)
	b = putStrings(b, 6, p.Removed)
	return putBool(b, 7, p.Full)
}

func getBasePush(d *decoder) (p xds.BasePush) {
	for d.next() {
		switch d.num {
		case 1:
			p.Number = d.uint()
		case 2:
			p.Stream = d.uint()
		case 3:
			p.Type = d.str()
		case 4:
			p.Nonce = d.str()
		case 5:
			p.Names = append(p.Names, d.str())
		case 6:
			p.Removed = append(p.Removed, d.str())
		case 7:
			p.Full = d.bool()
		}
	}
	return p
}

// putBaseList writes the resources column by column.
func putBaseList(b []byte, list []xds.BaseEntry, to *target) []byte {
	var names, bodies, digests, held, streams []byte
	var next, stream uint64
	for i := range list {
		e := &list[i]
		names = append(binary.AppendUvarint(names, uint64(len(e.Name))), e.Name...)
		n, ok := to.number(e.Digest)
		bodies, next = putNumber(bodies, n, ok, next)
		if !ok {
			digests = append(digests, e.Digest[:]...)
		}
		held = append(held, byte(e.Held))
		streams, stream = putInt(streams, int64(e.Stream-stream)), e.Stream
	}
	b = putBytes(b, 1, names)
	b = putBytes(b, 2, bodies)
	b = putBytes(b, 3, digests)
	b = putBytes(b, 4, held)
	return putBytes(b, 5, streams)
}

func getBaseList(d *decoder) []xds.BaseEntry {
	var col [6]column
	for d.next() {
		if d.num < 6 {
			col[d.num].rest = d.view()
		}
	}
	var out []xds.BaseEntry
	var next, stream uint64
	for len(col[1].rest) > 0 && d.err == nil {
		var e xds.BaseEntry
		e.Name = string(col[1].bytes(col[1].uint()))
		n, ok, after := col[2].number(next)
		next = after
		if ok {
			e.Digest, _ = d.in.digest(n) // one that is lost: the name is known, the body is not
		} else {
			copy(e.Digest[:], col[3].bytes(uint64(digestSize)))
		}
		if h := col[4].bytes(1); len(h) == 1 {
			e.Held = xds.Held(h[0])
		}
		stream += uint64(col[5].int())
		e.Stream = stream
		out = append(out, e)
		for _, c := range col {
			if c.bad {
				d.err = errManifest
			}
		}
	}
	return out
}
