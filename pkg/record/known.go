package record

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// known maps an observer's keys to the entries they stood for. It is bounded in
// bytes: the least recently used go first; what is not known is handed over with
// its bytes again.
type known struct {
	mu   sync.Mutex // guards all below
	lru  *simplelru.LRU[xds.Key, staged]
	size int
	most int
}

func newKnown(most int) (*known, error) {
	k := &known{most: most}
	var err error
	// The bound in entries is never met: each costs at least 256 bytes.
	k.lru, err = simplelru.NewLRU(most/256+1, func(_ xds.Key, s staged) { k.size -= s.cost() })
	return k, err
}

func (s staged) cost() int {
	n := 256 + len(s.entry.Name) + len(s.entry.Version) + len(s.entry.Rest)
	for _, a := range s.entry.Aliases {
		n += 16 + len(a)
	}
	return n
}

func (k *known) get(key xds.Key, delta bool) (xds.Entry, bool) {
	if key == (xds.Key{}) {
		return xds.Entry{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.lru.Get(key)
	return s.entry, ok && s.delta == delta
}

func (k *known) digest(key xds.Key) (xds.Digest, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.lru.Peek(key)
	return s.entry.Digest, ok
}

func (k *known) add(s staged) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lru.Remove(s.key)
	k.lru.Add(s.key, s)
	k.size += s.cost()
	for k.size > k.most {
		k.lru.RemoveOldest()
	}
}

func (k *known) forget(keys []staged) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range keys {
		k.lru.Remove(s.key)
	}
}
