package intercept

import (
	"crypto/sha256"
	"errors"
	"hash"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// maxResource is the largest resource whose bytes are kept.
	maxResource = 8 << 20
	// freeScratch is what a resource that is not complete may hold outside the
	// budget, so that small ones never compete for it.
	freeScratch = 16 << 10
	// fieldResources and fieldTypeURL are equal in DiscoveryResponse and
	// DeltaDiscoveryResponse (envoy/service/discovery/v3/discovery.proto).
	fieldResources = 2
	fieldTypeURL   = 4
	// tagResources is the tag of fieldResources, length-delimited.
	tagResources = fieldResources<<3 | 2
	// briefCost is what a resource costs while its message is not complete.
	briefCost = 32
)

var errMemory = errors.New("the observer's memory budget is used up")

// brief is one resource of a message that is not complete: small, because nearly
// all of them are known.
type brief struct {
	key  xds.Key
	size uint32
	new  *held // nil: it was known
}

// response reads one discovery response as it streams by. It keeps the envelope,
// a key for each resource, and the bytes only of resources not yet known.
type response struct {
	in    *inspector
	tok   tokenizer
	env   []byte
	brief []brief

	scratch []byte // of a resource that spans reads
	taken   int    // of share, for scratch
	long    *long  // instead of scratch: bytes are not kept
	share   share
	sum     hash.Hash // set when the whole message's digest may be wanted
	size    int
	shape   func() shape
}

func newResponse(in *inspector, size uint64, shape func() shape, digest bool) *response {
	r := &response{in: in, size: int(size), shape: shape, share: share{from: in.budget}, brief: in.briefs.get()}
	r.tok.reset(size)
	if digest {
		r.sum = sha256.New()
	}
	return r
}

func (r *response) feed(b []byte) error {
	if r.sum != nil {
		r.sum.Write(b)
	}
	for len(b) > 0 {
		n, err := r.step(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// step reads a resource that is there whole, or else the next token.
func (r *response) step(b []byte) (int, error) {
	if content, n := r.tok.whole(b, tagResources, maxResource); n > 0 {
		return n, r.resource(content)
	}
	tok, n, err := r.tok.next(b)
	if err != nil {
		return n, err
	}
	return n, r.token(tok)
}

func (r *response) token(tok token) error {
	if tok.nested || tok.num != fieldResources || tok.kind == tokSmall {
		return r.envelope(tok.raw)
	}
	switch {
	case tok.kind == tokBegin && tok.size == 0:
		return r.resource(nil)
	case tok.kind == tokBegin && tok.size > maxResource:
		r.long = newLong(r.in, r.shape(), tok.size, xds.ChunkTooLarge)
	case tok.kind == tokData && r.long != nil:
		return r.longPiece(tok)
	case tok.kind == tokData && tok.last && len(r.scratch) == 0:
		return r.resource(tok.raw)
	case tok.kind == tokData:
		return r.piece(tok)
	}
	return nil
}

func (r *response) envelope(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if !r.share.take(len(raw)) {
		return errMemory
	}
	r.env = append(r.env, raw...)
	return nil
}

// piece collects a resource that spans reads.
func (r *response) piece(tok token) error {
	grown := len(r.scratch) + len(tok.raw)
	if grown > freeScratch {
		if !r.share.take(len(tok.raw)) {
			r.spill(uint64(grown) + r.tok.body)
			return r.longPiece(tok)
		}
		r.taken += len(tok.raw)
	}
	if r.scratch == nil {
		r.scratch = r.in.scratch.get()
	}
	r.scratch = append(r.scratch, tok.raw...)
	if !tok.last {
		return nil
	}
	err := r.resource(r.scratch)
	r.dropScratch()
	return err
}

func (r *response) dropScratch() {
	r.scratch = r.in.scratch.put(r.scratch)
	r.share.give(r.taken)
	r.taken = 0
}

// spill goes on without the bytes of the resource in hand.
func (r *response) spill(size uint64) {
	r.long = newLong(r.in, r.shape(), size, xds.ChunkBodyless)
	r.long.feed(r.scratch)
	r.dropScratch()
}

func (r *response) longPiece(tok token) error {
	r.long.feed(tok.raw)
	if !tok.last {
		return nil
	}
	h := r.long.held()
	size := r.long.size
	r.long = nil
	if !r.in.budget.take(h.cost) {
		return errMemory
	}
	return r.keep(h, size)
}

// resource takes in a complete resource.
func (r *response) resource(b []byte) error {
	key := r.in.keyOf(b)
	if r.in.tap.Known(key) {
		return r.add(brief{key: key, size: uint32(len(b))})
	}
	h := r.in.flight.hold(key, b, r.shape())
	if h == nil {
		return errMemory
	}
	return r.keep(h, len(b))
}

// keep takes over a new resource.
func (r *response) keep(h *held, size int) error {
	err := r.add(brief{key: h.key, size: uint32(size), new: h})
	if err != nil {
		r.in.flight.release(h)
	}
	return err
}

func (r *response) add(b brief) error {
	if !r.share.take(briefCost) {
		return errMemory
	}
	r.brief = append(r.brief, b)
	return nil
}

func (r *response) finish() (*xds.Message, error) {
	if err := r.tok.end(); err != nil {
		return nil, err
	}
	m := &xds.Message{Size: r.size, Envelope: r.env}
	if xds.Debug(stringField(r.env, fieldTypeURL)) {
		return r.omitted(m), nil
	}
	if m.Envelope == nil {
		m.Envelope = []byte{}
	}
	m.Chunks = make([]xds.Chunk, len(r.brief))
	for i, b := range r.brief {
		m.Chunks[i] = r.expand(b)
	}
	return m, nil
}

// expand looks once more whether a body became known while its message was on
// the way: many clients get the same push at once.
func (r *response) expand(b brief) xds.Chunk {
	h := b.new
	if h == nil || h.state != xds.ChunkTooLarge && r.in.tap.Known(b.key) {
		return xds.Chunk{State: xds.ChunkKnown, Key: b.key, Size: int(b.size)}
	}
	if h.state == xds.ChunkBodyless {
		r.in.stats.BodiesDropped.Add(1)
	}
	return xds.Chunk{State: h.state, Key: b.key, Size: int(b.size), Raw: h.raw, Name: h.name, Type: h.typ, Sum: h.sum}
}

// omitted keeps of a debug answer what may be kept: it can be tens of megabytes.
func (r *response) omitted(m *xds.Message) *xds.Message {
	m.Omitted = "istiod debug answer"
	if r.sum != nil {
		m.Digest = xds.Digest(r.sum.Sum(nil)[:len(m.Digest)])
	}
	return m
}

func (r *response) drop() {
	r.share.release()
	for _, b := range r.brief {
		if b.new != nil {
			r.in.flight.release(b.new)
		}
	}
	clear(r.brief) // the pool keeps nothing alive
	r.brief = r.in.briefs.put(r.brief)
	if r.scratch != nil {
		r.scratch = r.in.scratch.put(r.scratch)
	}
}

// long reads a resource whose bytes are not kept: because it is too large, or
// because the budget is used up.
type long struct {
	state xds.ChunkState
	size  int
	key   *xxh3.Hasher
	sum   hash.Hash
	label *labeler
}

func newLong(in *inspector, s shape, size uint64, state xds.ChunkState) *long {
	l := &long{state: state, size: int(size), key: xxh3.NewSeed(in.seed), label: newLabeler(s, size)}
	if state == xds.ChunkTooLarge {
		l.sum = sha256.New()
	}
	return l
}

func (l *long) feed(b []byte) {
	_, _ = l.key.Write(b)
	if l.sum != nil {
		l.sum.Write(b)
	}
	l.label.feed(b)
}

func (l *long) held() *held {
	h := &held{key: l.key.Sum128().Bytes(), state: l.state}
	h.name, h.typ = l.label.labels()
	h.cost = heldCost + len(h.name) + len(h.typ)
	if l.sum != nil {
		h.sum = xds.Digest(l.sum.Sum(nil)[:len(h.sum)])
	}
	return h
}

// slicePool lends slices that grow, within limits.
type slicePool[T any] struct{ pool sync.Pool }

const maxPooled = 64 << 10 // elements

func (p *slicePool[T]) get() []T {
	if b, ok := p.pool.Get().(*[]T); ok {
		return (*b)[:0]
	}
	return nil
}

// put takes b back and returns nil, for the field that held it.
func (p *slicePool[T]) put(b []T) []T {
	if cap(b) > 0 && cap(b) <= maxPooled {
		b = b[:0]
		p.pool.Put(&b)
	}
	return nil
}

// stringField is the last value of a string field at the top level of msg.
func stringField(msg []byte, num int) string {
	var s string
	_ = eachField(msg, func(n int, c []byte) {
		if n == num {
			s = string(c)
		}
	})
	return s
}
