package decode

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// ErrNoBody says that the bytes of a digest were not recorded.
var ErrNoBody = errors.New("body not recorded")

// Cache decodes bodies by digest and remembers the result. What it hands out is
// shared: nobody changes it. Safe for concurrent use.
type Cache struct {
	bodies func(xds.Digest) ([]byte, bool)
	max    int64

	mu   sync.Mutex // guards lru and size
	lru  *simplelru.LRU[xds.Digest, entry]
	size int64
}

// entry is one decoded body, or why it cannot be decoded.
type entry struct {
	msg  proto.Message
	err  error
	cost int64
}

// entryCost is what an entry takes beside its message, and weight how many bytes
// a decoded message takes for one of its encoded bytes (measured on real
// listeners and clusters: 3 to 5).
const (
	entryCost = 200
	weight    = 4
)

// New returns a Cache over bodies that holds decoded messages of about maxBytes
// of memory; the least recently used go first. 0 or less means 64 MiB.
func New(bodies func(xds.Digest) ([]byte, bool), maxBytes int64) *Cache {
	if maxBytes <= 0 {
		maxBytes = 64 << 20
	}
	c := &Cache{bodies: bodies, max: maxBytes}
	// The bound is in bytes; the count only has to be out of the way.
	c.lru, _ = simplelru.NewLRU(1<<30, func(_ xds.Digest, e entry) { c.size -= e.cost })
	return c
}

// Message returns the resource inside the google.protobuf.Any that d names, as
// its v3 Go type. The errors: ErrNoBody, *UnknownTypeError, or what is wrong with
// the bytes.
func (c *Cache) Message(d xds.Digest) (proto.Message, error) {
	e, ok := c.look(d)
	if !ok {
		return e.msg, e.err
	}
	c.keep(d, e)
	return e.msg, e.err
}

// look finds d, or decodes it: fresh says that it is an entry to keep.
func (c *Cache) look(d xds.Digest) (e entry, fresh bool) {
	c.mu.Lock()
	e, ok := c.lru.Get(d)
	c.mu.Unlock()
	if ok {
		return e, false
	}
	b, ok := c.bodies(d)
	if !ok {
		return entry{err: fmt.Errorf("decoding %s: %w", d, ErrNoBody)}, false
	}
	m, err := decode(b)
	if err != nil {
		err = fmt.Errorf("decoding %s: %w", d, err)
	}
	return entry{m, err, entryCost + weight*int64(len(b))}, true
}

// Body returns the bytes of d, the Any, as they came.
func (c *Cache) Body(d xds.Digest) ([]byte, bool) { return c.bodies(d) }

// Size returns how many bytes the body of d has, 0 if it is not there.
func (c *Cache) Size(d xds.Digest) int {
	b, _ := c.bodies(d)
	return len(b)
}

func (c *Cache) keep(d xds.Digest, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lru.Contains(d) {
		return
	}
	c.lru.Add(d, e)
	c.size += e.cost
	for c.size > c.max && c.lru.Len() > 1 {
		c.lru.RemoveOldest()
	}
}

func decode(b []byte) (proto.Message, error) {
	a := new(anypb.Any)
	if err := proto.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("unmarshalling the Any: %w", err)
	}
	return Any(a)
}

// As is Message with the type that the caller needs; another one is an error.
func As[T proto.Message](c *Cache, d xds.Digest) (T, error) {
	m, err := c.Message(d)
	return typed[T](d, m, err)
}

// Once is As for who keeps what the message tells and has no use for it
// afterwards: it is not remembered if it was not before.
func Once[T proto.Message](c *Cache, d xds.Digest) (T, error) {
	e, _ := c.look(d)
	return typed[T](d, e.msg, e.err)
}

func typed[T proto.Message](d xds.Digest, m proto.Message, err error) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	t, ok := m.(T)
	if !ok {
		return none, fmt.Errorf("decoding %s: it is a %s, not a %s", d, name(m), name(none))
	}
	return t, nil
}

func name(m proto.Message) string { return string(m.ProtoReflect().Descriptor().FullName()) }
