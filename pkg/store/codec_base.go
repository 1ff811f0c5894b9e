package store

import "github.com/xdsproxy/xdsproxy/pkg/xds"

func putBase(b []byte, x *xds.Base) []byte {
	b = putUint(b, 1, x.Push)
	b = putDigest(b, 2, x.Node)
	for _, s := range x.Streams {
		b = putMessage(b, 3, func(b []byte) []byte {
			b = putUint(b, 1, s.Stream)
			return putMessage(b, 2, func(b []byte) []byte { return putOpen(b, &s.Open) })
		})
	}
	for i := range x.Types {
		b = putMessage(b, 4, func(b []byte) []byte { return putBaseType(b, &x.Types[i]) })
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

func putBaseType(b []byte, t *xds.BaseType) []byte {
	b = putString(b, 1, t.Type)
	b = putString(b, 2, t.Uncertain)
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
