package store

import (
	"sync"
	"unsafe"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// cache keeps what was decoded, least recently used out first, up to a number of
// bytes. Of what is larger than all of it the newest stays.
type cache[K comparable, V any] struct {
	mu    sync.Mutex // guards all
	lru   *simplelru.LRU[K, V]
	size  func(V) int64
	bytes int64
	limit int64
}

func newCache[K comparable, V any](limit int64, size func(V) int64) (*cache[K, V], error) {
	c := &cache[K, V]{limit: limit, size: size}
	var err error
	c.lru, err = simplelru.NewLRU(1<<30, func(_ K, v V) { c.bytes -= size(v) })
	return c, err
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(k)
}

func (c *cache[K, V]) add(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lru.Contains(k) {
		return
	}
	c.bytes += c.size(v)
	c.lru.Add(k, v)
	for c.bytes > c.limit && c.lru.Len() > 1 {
		c.lru.RemoveOldest()
	}
}

// drop takes out what matches.
func (c *cache[K, V]) drop(match func(K) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.lru.Keys() {
		if match(k) {
			c.lru.Remove(k)
		}
	}
}

// frameAt names a frame.
type frameAt struct {
	seg *segment
	off int64
}

func (c *content) bytes() int64 { return int64(len(c.raw)) + int64(len(c.rows))*32 + 256 }

// listAt names a record.
type listAt struct {
	seg *segment
	seq uint64
}

// listed is the list of a push, or of a request.
type listed struct {
	entries []xds.Entry
	names   []string
}

func (l listed) bytes() int64 {
	return int64(len(l.entries))*(int64(unsafe.Sizeof(xds.Entry{}))+32) + int64(len(l.names))*64
}
