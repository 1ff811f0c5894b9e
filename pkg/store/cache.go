package store

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache keeps the decoded data of frames, least recently used out first, up to a
// number of bytes. One frame that is larger is not kept at all.
type cache struct {
	mu    sync.Mutex // guards all
	lru   *simplelru.LRU[*frame, []byte]
	bytes int64
	limit int64
}

func newCache(limit int64) (*cache, error) {
	c := &cache{limit: limit}
	var err error
	c.lru, err = simplelru.NewLRU(1<<30, func(_ *frame, b []byte) { c.bytes -= int64(len(b)) })
	return c, err
}

func (c *cache) get(f *frame) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(f)
}

func (c *cache) add(f *frame, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(len(b)) > c.limit || c.lru.Contains(f) {
		return
	}
	c.bytes += int64(len(b))
	c.lru.Add(f, b)
	for c.bytes > c.limit {
		c.lru.RemoveOldest()
	}
}
