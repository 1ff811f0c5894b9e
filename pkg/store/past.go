package store

import (
	"hash/maphash"
	"math/rand/v2"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// maxChain is how many lists are made of one another before one is written
	// whole, so that reading one in the past costs no more than that.
	maxChain = 64
	// maxDepth is the same for bodies.
	maxDepth = 16
	// maxListed bounds the memory for lists: entries of 16 bytes.
	maxListed = 1 << 19
)

// past is what a writer remembers of the segment that it writes, to say what is
// new only. It may forget everything at any time: then things are written whole.
type past struct {
	seed     maphash.Seed
	mul      [4]uint64            // secret: nobody can make entries that look equal
	lists    map[listKey]*listing // of the newest push
	types    map[string]*listing  // the newest of all streams
	names    map[listKey]nameList // of the newest request with names
	versions map[uint64]version   // by type and name
	listed   int                  // entries in lists
}

// listKey is a stream and a type as sent.
type listKey struct {
	stream uint64
	typ    string
}

// listing is a push as the next one is compared with it.
type listing struct {
	seq         uint64
	depth       int
	names, sums []uint64 // of each entry: of its name, of all of it
}

// nameList is where a list of names was written last.
type nameList struct{ seq, sum uint64 }

// version is the newest body of a resource, and the one that it is made from.
type version struct {
	newest, root uint32
	depth        uint8
}

func newPast() *past {
	p := &past{seed: maphash.MakeSeed()}
	for i := range p.mul {
		p.mul[i] = rand.Uint64() | 1
	}
	p.forget()
	return p
}

func (p *past) forget() {
	p.versions, p.names = map[uint64]version{}, map[listKey]nameList{}
	p.forgetLists()
}

func (p *past) forgetLists() {
	p.lists, p.types, p.listed = map[listKey]*listing{}, map[string]*listing{}, 0
}

// resource stands for a type and a name.
func (p *past) resource(typ, name string) uint64 {
	return maphash.String(p.seed, typ)*p.mul[0] + maphash.String(p.seed, name)
}

// sums describes the entries of a push.
func (p *past) sums(entries []xds.Entry) *listing {
	l := &listing{names: make([]uint64, len(entries)), sums: make([]uint64, len(entries))}
	for i := range entries {
		e := &entries[i]
		l.names[i] = maphash.String(p.seed, e.Name)
		l.sums[i] = l.names[i] + p.sum(e)
	}
	return l
}

func (p *past) sum(e *xds.Entry) uint64 {
	var d [3]uint64
	for i := range e.Digest {
		d[i/8] = d[i/8]<<8 | uint64(e.Digest[i])
	}
	sum := d[0]*p.mul[0] + d[1]*p.mul[1] + d[2]*p.mul[2] + uint64(e.Size)*p.mul[3]
	if more := putMore(nil, e, false); len(more) > 0 {
		sum = sum*p.mul[0] + maphash.Bytes(p.seed, more)
	}
	return sum
}

// ref is the list that a push of this stream and type is best compared with.
func (p *past) ref(k listKey) *listing {
	l := p.lists[k]
	if l == nil {
		l = p.types[k.typ]
	}
	if l == nil || l.depth >= maxChain-1 {
		return nil
	}
	return l
}

func (p *past) keep(k listKey, l *listing) {
	if old := p.lists[k]; old != nil {
		p.listed -= len(old.sums)
	}
	p.listed += len(l.sums)
	if p.listed > maxListed {
		p.forgetLists()
		p.listed = len(l.sums)
	}
	p.lists[k], p.types[k.typ] = l, l
}

// namesAt is the record that holds an equal list of names, 0 without one.
func (p *past) namesAt(k listKey, names []string, seq uint64) uint64 {
	sum := uint64(len(names))
	for _, n := range names {
		sum = sum*p.mul[0] + maphash.String(p.seed, n)
	}
	if l, ok := p.names[k]; ok && l.sum == sum {
		return l.seq
	}
	if len(p.names) >= maxListed/16 {
		p.names = map[listKey]nameList{}
	}
	p.names[k] = nameList{seq, sum}
	return 0
}

// closed forgets a stream.
func (p *past) closed(stream uint64) {
	for k, l := range p.lists {
		if k.stream == stream {
			p.listed -= len(l.sums)
			delete(p.lists, k)
		}
	}
	for k := range p.names {
		if k.stream == stream {
			delete(p.names, k)
		}
	}
}
