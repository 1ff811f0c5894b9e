package intercept

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// maxLosses bounds the streams whose losses are told apart; further ones share
// one gap of nobody.
const maxLosses = 1024

// Queue stands between the observers and one recorder. It is bounded in bytes
// (Sighting.Bytes, and the texts of what has no message) and never makes an
// observer wait. When it is full:
//
//  1. The newcomer loses its bodies: raw resources become bodyless, with name,
//     type and key, and the push stays. The newest gives way, because what was
//     taken before is then a history without holes, and because that costs no
//     walk over the queue. The key of a dropped body never counts as known: only
//     who reads the queue may say that.
//  2. What does not fit even so is lost, and from then on everything of requests
//     and responses until there is room to say so: each stream that lost
//     something gets one gap, in its place. Opens, closes and gaps may use an
//     eighth more, so that streams do not lose their ends; where even that is
//     used up, an end is told behind its stream's gap.
type Queue struct {
	max   int
	stats *Stats
	wake  chan struct{} // holds one token while there may be something to read

	mu     sync.Mutex // guards what follows
	items  []item
	head   int // items[:head] are read
	bytes  int
	losses map[lossKey]*loss
	order  []lossKey // of losses, oldest first
	ends   int       // losses with an end
	closed bool
	deaf   atomic.Bool // closed, for who holds no lock
}

// item is what waits, and what it takes.
type item struct {
	xds.Sighting
	cost int
}

type lossKey struct{ conn, stream uint64 }

type loss struct {
	at    time.Time
	count int
	end   *xds.Sighting // the stream's, if that was lost too
}

// toldCost is what a gap, or an end without its texts, takes in the queue.
const toldCost = 320

// NewQueue returns a queue that holds at most max bytes; 0 means DefaultBytes.
// stats may be nil.
func NewQueue(max int, stats *Stats) *Queue {
	if max <= 0 {
		max = DefaultBytes
	}
	if stats == nil {
		stats = &Stats{}
	}
	return &Queue{max: max, stats: stats, wake: make(chan struct{}, 1), losses: map[lossKey]*loss{}}
}

// Offer appends s, or what the rules of Queue leave of it. False says that s was
// lost; its gap will follow.
func (q *Queue) Offer(s xds.Sighting) bool {
	taken, full := q.offer(s, cost(s), true)
	if full {
		s = q.strip(s)
		taken, _ = q.offer(s, cost(s), false)
	}
	return taken
}

// offer appends s, which takes n bytes. Full says that s might fit without its
// bodies: where that may be tried, nothing has happened yet. Taking them out is
// work for a caller that holds no lock.
func (q *Queue) offer(s xds.Sighting, n int, mayStrip bool) (taken, full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, false
	}
	defer q.signal()
	if len(q.losses) > 0 && !q.tellLosses(n) {
		if !control(s) || !q.tellLossOf(s, n) {
			q.lose(s)
			return false, false
		}
	}
	switch {
	case q.bytes+n <= q.limit(s):
		q.push(s, n)
		return true, false
	case mayStrip && hasBodies(s):
		return false, true
	}
	q.lose(s)
	return false, false
}

// cost is what s takes while it waits.
func cost(s xds.Sighting) int {
	n := s.Bytes() + len(s.Reason)
	if s.Open != nil {
		n += len(s.Open.Method) + metadataCost(s.Open.Metadata)
	}
	if s.Close != nil {
		n += len(s.Close.Message) + metadataCost(s.Close.Trailer)
	}
	return n
}

func metadataCost(m map[string][]string) int {
	n := 0
	for k, vs := range m {
		n += 64 + len(k)
		for _, v := range vs {
			n += 16 + len(v)
		}
	}
	return n
}

func control(s xds.Sighting) bool { return s.Msg == nil }

func (q *Queue) limit(s xds.Sighting) int {
	if control(s) {
		return q.max + q.max/8
	}
	return q.max
}

func (q *Queue) push(s xds.Sighting, n int) {
	q.items = append(q.items, item{s, n})
	q.bytes += n
	q.stats.QueueBytes.Store(int64(q.bytes))
}

func hasBodies(s xds.Sighting) bool {
	return s.Msg != nil && slices.ContainsFunc(s.Msg.Chunks, func(c xds.Chunk) bool { return c.State == xds.ChunkRaw })
}

// strip takes the bodies out of s.
func (q *Queue) strip(s xds.Sighting) xds.Sighting {
	if s.Msg == nil || len(s.Msg.Chunks) == 0 {
		return s
	}
	m := *s.Msg
	m.Chunks = make([]xds.Chunk, len(s.Msg.Chunks))
	for i, c := range s.Msg.Chunks {
		m.Chunks[i] = q.bodyless(c)
	}
	s.Msg = &m
	return s
}

func (q *Queue) bodyless(c xds.Chunk) xds.Chunk {
	if c.State != xds.ChunkRaw {
		return c
	}
	if c.Name == "" && c.Type == "" {
		c.Name, c.Type = labelsOf(guessShape(c.Raw), c.Raw)
	}
	c.State, c.Raw = xds.ChunkBodyless, nil
	q.stats.BodiesDropped.Add(1)
	return c
}

func (q *Queue) lose(s xds.Sighting) {
	q.stats.SightingsLost.Add(1)
	k := lossKey{s.Conn, s.Stream}
	if _, ok := q.losses[k]; !ok && len(q.losses) >= maxLosses {
		k = lossKey{}
	}
	l := q.losses[k]
	if l == nil {
		l = &loss{at: s.Time}
		q.losses[k] = l
		q.order = append(q.order, k)
	}
	l.count++
	if s.Close != nil && k.stream != 0 && l.end == nil {
		q.ends++
		l.end = &xds.Sighting{Kind: s.Kind, Time: s.Time, Conn: s.Conn, Stream: s.Stream, Close: &xds.Close{By: s.Close.By, Code: s.Close.Code}}
	}
}

// tellLosses queues a gap for each stream that lost something, if there is room
// for all of them and for extra bytes more.
func (q *Queue) tellLosses(extra int) bool {
	if q.bytes+extra+toldCost*(len(q.losses)+q.ends) > q.max {
		return false
	}
	for _, k := range q.order {
		q.tell(k, q.losses[k])
	}
	clear(q.losses)
	q.order, q.ends = nil, 0
	return true
}

// tellLossOf queues the gap that belongs before s, which may be its stream's end;
// false if there is one and no room for both.
func (q *Queue) tellLossOf(s xds.Sighting, n int) bool {
	k := lossKey{s.Conn, s.Stream}
	l := q.losses[k]
	if l == nil {
		return true
	}
	if l.end != nil || q.bytes+toldCost+n > q.limit(s) {
		return false
	}
	q.tell(k, l)
	delete(q.losses, k)
	q.order = slices.DeleteFunc(q.order, func(o lossKey) bool { return o == k })
	return true
}

func (q *Queue) tell(k lossKey, l *loss) {
	q.stats.gaps[GapQueue].Add(1)
	gap := xds.Sighting{Kind: xds.SawGap, Time: l.at, Conn: k.conn, Stream: k.stream, Reason: fmt.Sprintf("queue full: %d messages lost", l.count)}
	q.push(gap, cost(gap))
	if l.end != nil {
		q.push(*l.end, cost(*l.end))
	}
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Next waits for the oldest sighting. False says that there will be none: ctx is
// done, or the queue is closed and empty.
func (q *Queue) Next(ctx context.Context) (xds.Sighting, bool) {
	for {
		s, ok, closed := q.pop()
		if ok || closed {
			return s, ok
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return xds.Sighting{}, false
		}
	}
}

func (q *Queue) pop() (s xds.Sighting, ok, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		q.tellLosses(0)
	}
	if q.head == len(q.items) {
		return s, false, q.closed
	}
	s = q.items[q.head].Sighting
	q.bytes -= q.items[q.head].cost
	q.items[q.head] = item{}
	q.head++
	q.stats.QueueBytes.Store(int64(q.bytes))
	q.compact()
	return s, true, false
}

// compact gives back what was read.
func (q *Queue) compact() {
	switch {
	case q.head == len(q.items) && cap(q.items) > 1024:
		q.items, q.head = nil, 0
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head > 1024 && q.head > len(q.items)/2:
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}

// Close takes no more. What was taken before can still be read.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.deaf.Store(true)
	q.mu.Unlock()
	q.signal()
}

// Drop forgets what waits: nobody will read it.
func (q *Queue) Drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items, q.head, q.bytes = nil, 0, 0
	clear(q.losses)
	q.order, q.ends = nil, 0
	q.stats.QueueBytes.Store(0)
}

// Len is how many sightings wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) - q.head
}

// Tap returns the queue as a Tap whose Known is the recorder's.
func (q *Queue) Tap(known func(xds.Key) bool) Tap { return queueTap{q, known} }

type queueTap struct {
	*Queue
	known func(xds.Key) bool
}

// Known is also what nobody will ever read: its bytes are not worth keeping.
func (t queueTap) Known(k xds.Key) bool { return t.deaf.Load() || t.known(k) }
