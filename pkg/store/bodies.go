package store

import (
	"encoding/binary"
	"sync"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// bodies says which bodies a segment holds. They are numbered 0, 1, ... in the
// order of the file; a lost frame leaves a hole. It is a hash table without
// pointers: some 28 bytes for each body, of which there may be millions.
type bodies struct {
	digests []xds.Digest    // by number; zero: not there
	table   []uint32        // number + 1 at the place that the digest's first bytes say
	lost    map[uint32]bool // cannot be read
}

func (b *bodies) next() uint32 { return uint32(len(b.digests)) }

// fits: the bodies of p have numbers that are free, and no more are missing
// before them than can have stood in a file that is end long.
func (b *bodies) fits(p *parsed, end int64) bool {
	if len(p.bodies) == 0 {
		return true
	}
	return p.firstBody >= uint64(len(b.digests)) && p.firstBody <= uint64(len(b.digests))+uint64(end)/uint64(digestSize)
}

func (b *bodies) add(p *parsed) {
	if len(p.bodies) == 0 {
		return
	}
	for uint64(len(b.digests)) < p.firstBody {
		b.digests = append(b.digests, xds.Digest{})
	}
	b.grow(len(b.digests) + len(p.bodies))
	for _, d := range p.bodies {
		b.digests = append(b.digests, d)
		b.put(d, uint32(len(b.digests)))
	}
}

// grow makes room for n bodies in all.
func (b *bodies) grow(n int) {
	size := max(64, len(b.table))
	for size*3 < n*4 {
		size *= 2
	}
	if size == len(b.table) {
		return
	}
	b.table = make([]uint32, size)
	for i, d := range b.digests {
		if !d.IsZero() {
			b.put(d, uint32(i)+1)
		}
	}
}

func (b *bodies) put(d xds.Digest, value uint32) {
	for i := b.slot(d); ; i = (i + 1) & (len(b.table) - 1) {
		if b.table[i] == 0 {
			b.table[i] = value
			return
		}
	}
}

func (b *bodies) slot(d xds.Digest) int {
	return int(binary.LittleEndian.Uint64(d[:]) & uint64(len(b.table)-1))
}

func (b *bodies) find(d xds.Digest) (uint32, bool) {
	if len(b.table) == 0 || d.IsZero() {
		return 0, false
	}
	for i := b.slot(d); b.table[i] != 0; i = (i + 1) & (len(b.table) - 1) {
		if n := b.table[i] - 1; b.digests[n] == d && !b.lost[n] {
			return n, true
		}
	}
	return 0, false
}

// digest is the name of a body, false where its frame is lost.
func (b *bodies) digest(n uint64) (xds.Digest, bool) {
	if n >= uint64(len(b.digests)) || b.digests[n].IsZero() {
		return xds.Digest{}, false
	}
	return b.digests[n], true
}

// hide takes out a body that cannot be read.
func (b *bodies) hide(n uint32) {
	if b.lost == nil {
		b.lost = map[uint32]bool{}
	}
	b.lost[n] = true
}

// known guards what a writer's Has reads: the forwarding path may ask whether a
// body is there while an append is under way, and must not wait for a disk.
type known struct {
	mu   sync.RWMutex // guards segs and their bodies
	segs []*segment
}

func (k *known) has(d xds.Digest) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, s := range k.segs {
		if _, ok := s.bodies.find(d); ok {
			return true
		}
	}
	return false
}

// change runs f, which may change the segments or their bodies, while nobody looks.
func (k *known) change(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}
