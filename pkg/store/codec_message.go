package store

import (
	"maps"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func putRequest(b []byte, r *xds.Request, to *target) []byte {
	b = putString(b, 1, r.Type)
	b = putString(b, 2, r.Version)
	b = putString(b, 3, r.Nonce)
	b = putDigest(b, 4, r.Node)
	if back := to.sameNames(r); back > 0 {
		b = putUint(b, 12, back)
	} else {
		b = putStrings(b, 5, r.Names)
	}
	b = putStrings(b, 6, r.Unsubscribe)
	for _, k := range slices.Sorted(maps.Keys(r.Initial)) {
		b = putMessage(b, 7, func(b []byte) []byte {
			return putString(putString(b, 1, k), 2, r.Initial[k])
		})
	}
	if r.Error != nil {
		b = putMessage(b, 8, func(b []byte) []byte { return putStatus(b, r.Error) })
	}
	b = putBool(b, 9, r.Delta)
	b = putBytes(b, 10, r.Rest)
	return putUint(b, 11, uint64(r.Size))
}

func getRequest(d *decoder) *xds.Request {
	r := &xds.Request{}
	for d.next() {
		requestField(d, r)
	}
	return r
}

func requestField(d *decoder, r *xds.Request) {
	switch d.num {
	case 1:
		r.Type = d.str()
	case 2:
		r.Version = d.str()
	case 3:
		r.Nonce = d.str()
	case 4:
		r.Node = d.digest()
	case 5:
		r.Names = append(r.Names, d.str())
	case 6:
		r.Unsubscribe = append(r.Unsubscribe, d.str())
	case 7:
		d.sub(func(d *decoder) { getInitial(d, r) })
	case 8:
		d.sub(func(d *decoder) { r.Error = getStatus(d) })
	case 9:
		r.Delta = d.bool()
	case 10:
		r.Rest = d.bytes()
	case 11:
		r.Size = d.int()
	case 12:
		r.Names = d.names(d.uint())
	}
}

// names are those of an earlier request.
func (d *decoder) names(back uint64) []string {
	names, err := d.in.names(back)
	if err != nil && d.err == nil {
		d.err = err
	}
	return names
}

func getInitial(d *decoder, r *xds.Request) {
	var k, v string
	for d.next() {
		switch d.num {
		case 1:
			k = d.str()
		case 2:
			v = d.str()
		}
	}
	if r.Initial == nil {
		r.Initial = map[string]string{}
	}
	r.Initial[k] = v
}

func putStatus(b []byte, s *xds.Status) []byte {
	b = putUint(b, 1, uint64(int64(s.Code)))
	b = putString(b, 2, s.Message)
	return putBytes(b, 3, s.Rest)
}

func getStatus(d *decoder) *xds.Status {
	s := &xds.Status{}
	for d.next() {
		switch d.num {
		case 1:
			s.Code = int32(d.uint())
		case 2:
			s.Message = d.str()
		case 3:
			s.Rest = d.bytes()
		}
	}
	return s
}

func putAnswer(b []byte, a *xds.Answer, to *target) []byte {
	b = putMessage(b, 1, func(b []byte) []byte { return putRequest(b, &a.Request, to) })
	b = putUint(b, 2, a.Push)
	return putUint(b, 3, a.Repeat)
}

func getAnswer(d *decoder) *xds.Answer {
	a := &xds.Answer{}
	for d.next() {
		switch d.num {
		case 1:
			d.sub(func(d *decoder) { a.Request = *getRequest(d) })
		case 2:
			a.Push = d.uint()
		case 3:
			a.Repeat = d.uint()
		}
	}
	return a
}

func putPush(b []byte, p *xds.Push, to *target) []byte {
	b = putUint(b, 1, p.Number)
	b = putString(b, 2, p.Type)
	b = putString(b, 3, p.Version)
	b = putString(b, 4, p.Nonce)
	b = putBool(b, 5, p.Delta)
	for i := range p.Resources {
		if to != nil {
			break
		}
		b = putMessage(b, 6, func(b []byte) []byte { return putEntry(b, &p.Resources[i]) })
	}
	b = putStrings(b, 7, p.Removed)
	b = putBytes(b, 8, p.Rest)
	b = putUint(b, 9, uint64(p.Size))
	b = putString(b, 10, p.Omitted)
	if to != nil && len(p.Resources) > 0 {
		b = putMessage(b, 11, to.manifest(p).encode)
	}
	return b
}

func getPush(d *decoder) *xds.Push {
	p := &xds.Push{}
	for d.next() {
		switch d.num {
		case 1:
			p.Number = d.uint()
		case 2:
			p.Type = d.str()
		case 3:
			p.Version = d.str()
		case 4:
			p.Nonce = d.str()
		case 5:
			p.Delta = d.bool()
		case 6:
			d.sub(func(d *decoder) { p.Resources = append(p.Resources, getEntry(d)) })
		case 7:
			p.Removed = append(p.Removed, d.str())
		case 8:
			p.Rest = d.bytes()
		case 9:
			p.Size = d.int()
		case 10:
			p.Omitted = d.str()
		case 11:
			d.sub(func(d *decoder) { p.Resources = getResources(d) })
		}
	}
	return p
}

func getResources(d *decoder) []xds.Entry {
	m := getManifest(d)
	if d.err != nil {
		return nil
	}
	var list []xds.Entry
	list, d.err = d.in.entries(&m)
	return list
}

func putEntry(b []byte, e *xds.Entry) []byte {
	b = putString(b, 1, e.Name)
	b = putUint(b, 2, uint64(e.State))
	b = putDigest(b, 3, e.Digest)
	b = putUint(b, 4, uint64(e.Size))
	b = putBool(b, 5, e.Wrapped)
	b = putString(b, 6, e.Version)
	b = putStrings(b, 7, e.Aliases)
	b = putUint(b, 8, uint64(e.TTL))
	return putBytes(b, 9, e.Rest)
}

func getEntry(d *decoder) (e xds.Entry) {
	for d.next() {
		switch d.num {
		case 1:
			e.Name = d.str()
		case 2:
			e.State = xds.EntryState(d.uint())
		case 3:
			e.Digest = d.digest()
		case 4:
			e.Size = d.int()
		case 5:
			e.Wrapped = d.bool()
		case 6:
			e.Version = d.str()
		case 7:
			e.Aliases = append(e.Aliases, d.str())
		case 8:
			e.TTL = time.Duration(d.uint())
		case 9:
			e.Rest = d.bytes()
		}
	}
	return e
}
