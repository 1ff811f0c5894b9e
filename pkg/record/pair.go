package record

import (
	"maps"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// pushesKept is how many pushes of one (stream, type) an answer can still
	// name. Answers to older ones become orphans.
	pushesKept = 128
	// answersParked is how many requests of a stream wait for their push. Beyond
	// it the oldest becomes an orphan.
	answersParked = 64
	// parkedFor is how long one waits once time is told by Advance.
	parkedFor = 10 * time.Second
)

// push is a response that was seen on a (stream, type).
type push struct {
	nonce    xxh3.Uint128 // hashes: they may be long
	version  xxh3.Uint128
	number   uint64
	owner    xds.Sidecar
	answered bool
	sig      signature
	held     *item // not written yet: it may turn out to repeat a rejected one
	counted  int   // its cost when it was added
}

// sub is one type on one stream: nonces are scoped so.
type sub struct {
	pushes  []*push // oldest first
	waiting []*waiter
	storm   storm
	// begun: an answer is possible now. The first request of a type on a stream
	// asks for it, even if it brings a nonce along from an earlier stream.
	begun bool
	kept  bool // it has its place among the stream's types
	// reused: the server gives pushes a nonce that an earlier one had.
	reused bool
	asked  asked // the newest request
}

// asked is what a request asked for, as hashes.
type asked struct {
	version xxh3.Uint128
	names   uint64
}

// name is the hash of a nonce or a version, zero of an empty one.
func name(s string) xxh3.Uint128 {
	if s == "" {
		return xxh3.Uint128{}
	}
	return xxh3.HashString128(s)
}

// waiter is a request whose push was not seen yet, or one of the same type behind
// such a one: their order is the order of subscriptions.
type waiter struct {
	it    *item
	req   *xds.Request
	since time.Time
}

// gone takes the first one out.
func (b *sub) gone(r *Recorder, st *stream) *waiter {
	w := b.waiting[0]
	b.waiting = b.waiting[1:]
	st.waiting--
	r.hold(st, -w.cost())
	return w
}

func (st *stream) types() []string { return slices.Sorted(maps.Keys(st.subs)) }

func (b *sub) add(r *Recorder, st *stream, p *push) {
	if !b.kept {
		return
	}
	b.reused = b.reused || p.nonce != (xxh3.Uint128{}) && b.find(p.nonce) != nil
	p.counted = p.cost()
	b.pushes = append(b.pushes, p)
	r.hold(st, p.counted)
	if len(b.pushes) > pushesKept {
		b.forget(r, st)
	}
}

// find returns the push that a nonce names: the oldest unanswered one, else the
// newest. A server may use a nonce again.
func (b *sub) find(nonce xxh3.Uint128) *push {
	var p *push
	for _, x := range b.pushes {
		if x.nonce != nonce {
			continue
		}
		p = x
		if !x.answered {
			return x
		}
	}
	return p
}

// request records a request, once it is known what it is.
func (r *Recorder) request(st *stream, s xds.Sighting) {
	if !st.discovery || s.Msg == nil {
		return
	}
	if s.Msg.Omitted != "" && len(s.Msg.Envelope) == 0 {
		st.gap(r, s, "request not kept: "+s.Msg.Omitted)
		return
	}
	q, err := parseRequest(s.Msg.Envelope, st.delta(s.Msg, false))
	if err != nil {
		st.gap(r, s, "request not decodable: "+err.Error())
		return
	}
	it := r.requestItem(st, s, &q)
	b := r.sub(st, s, q.Type)
	if r.told(st, b, s, it, &q.Request) {
		return
	}
	if len(b.waiting) > 0 || !b.place(r, it, &q.Request) {
		b.park(r, st, it, &q.Request)
	}
}

// requestItem is the request as a record, secrets taken out, its node apart.
func (r *Recorder) requestItem(st *stream, s xds.Sighting, q *request) *item {
	q.Size = size(s.Msg)
	if q.Type == "" {
		q.Type = impliedType(st.method)
	}
	it := &item{}
	if q.hasNode {
		r.owner(st, s, q.node)
		b := xds.NewBody(r.red.node(q.node))
		q.Node = b.Digest
		it.bodies = append(it.bodies, b)
	}
	r.red.request(&q.Request)
	it.rec = st.record(s, xds.Record{})
	return it
}

func size(m *xds.Message) int {
	if m.Size > 0 {
		return m.Size
	}
	n := len(m.Envelope)
	for _, c := range m.Chunks {
		n += c.Size
	}
	return n
}

// owner checks a node against the stream's owner. The first node owns the stream.
func (r *Recorder) owner(st *stream, s xds.Sighting, node []byte) {
	id := Identity(node)
	if st.owner.IsZero() {
		st.owner = id
	}
	if id != st.owner && !st.mixed {
		st.mixed = true
		st.gap(r, s, secondNode+id.FullName()+", on a stream of "+st.owner.FullName()+", which keeps it")
	}
}

// secondNode starts the reason of the gap that tells of one.
const secondNode = "a second node, "

// told handles what a file says about a request; live, nobody tells.
func (r *Recorder) told(st *stream, b *sub, s xds.Sighting, it *item, q *xds.Request) bool {
	switch {
	case s.As == xds.KindRequest:
		b.subscribe(r, it, q)
		return true
	case s.Push == 0 && s.As == xds.KindAnswer:
		it.answer(q, 0, s.Count)
		r.out = append(r.out, it)
		return true
	case s.Push == 0:
		return false
	}
	number := s.Push + r.shift[st.owner]
	p := b.find(name(q.Nonce))
	if p == nil || p.number != number {
		p = &push{nonce: name(q.Nonce), number: number, owner: st.owner}
		b.add(r, st, p)
	}
	if s.Count == 0 {
		b.answer(r, p, it, q)
		return true
	}
	p.answered = true
	it.answer(q, p.number, s.Count)
	r.out = append(r.out, it)
	return true
}

// place writes the request as an answer or a subscription; false if neither is
// certain yet, because a push with its nonce was not seen.
func (b *sub) place(r *Recorder, it *item, q *xds.Request) bool {
	p := b.find(name(q.Nonce))
	switch {
	case q.Nonce == "" && (p == nil || p.answered || !emptyNonceAnswer(p, q)):
		b.subscribe(r, it, q)
	case p == nil && b.begun:
		return false
	case p == nil:
		b.subscribe(r, it, q)
	case p.answered && b.early(q):
		return false
	case p.answered && q.Error == nil:
		b.subscribe(r, it, q)
	default:
		b.answer(r, p, it, q)
	}
	return true
}

// early reports whether a request with the nonce of a push that is answered answers
// a later one with that nonce, which is not seen yet. The client says so when it has
// accepted a version that no push had, or (Delta) when it asks for nothing. From a
// server that is known to give a nonce again, so does any NACK, and a request that
// asks for what the one before it asked for.
func (b *sub) early(q *xds.Request) bool {
	if !b.kept {
		return false
	}
	if q.Error != nil {
		return b.reused
	}
	if q.Delta {
		return len(q.Names)+len(q.Unsubscribe)+len(q.Initial) == 0
	}
	a := askedBy(q)
	if b.reused && a.names == b.asked.names {
		return true
	}
	return q.Version != "" && a.version != b.asked.version && !slices.ContainsFunc(b.pushes, func(x *push) bool { return x.version == a.version })
}

func askedBy(q *xds.Request) asked {
	var h xxh3.Hasher
	for _, n := range q.Names {
		_, _ = h.WriteString(n)
		_, _ = h.Write([]byte{0}) // never fails
	}
	return asked{version: name(q.Version), names: h.Sum64()}
}

// emptyNonceAnswer tells an answer to a push without a nonce from a subscription.
func emptyNonceAnswer(p *push, q *xds.Request) bool {
	return q.Error != nil || !q.Delta && q.Version != "" && name(q.Version) == p.version
}

func (b *sub) subscribe(r *Recorder, it *item, q *xds.Request) {
	b.flush(r)
	b.begun = true
	b.asked = askedBy(q)
	it.rec.Kind, it.rec.Request = xds.KindRequest, q
	r.out = append(r.out, it)
}

// answer makes the item an answer record.
func (it *item) answer(q *xds.Request, number, repeat uint64) {
	it.rec.Kind, it.rec.Answer = xds.KindAnswer, &xds.Answer{Request: *q, Push: number, Repeat: repeat}
}

func (b *sub) park(r *Recorder, st *stream, it *item, q *xds.Request) {
	w := &waiter{it: it, req: q}
	b.waiting = append(b.waiting, w)
	st.waiting++
	r.hold(st, w.cost())
	if st.waiting > answersParked {
		b.release(r, st)
	}
	b.drain(r, st)
	b.trim(r, st)
}

// release gives up on the oldest that waits: it becomes an orphan.
func (b *sub) release(r *Recorder, st *stream) {
	w := b.gone(r, st)
	b.flush(r)
	w.it.answer(w.req, 0, 0)
	r.out = append(r.out, w.it)
}

// drain writes those that wait no more.
func (b *sub) drain(r *Recorder, st *stream) {
	for len(b.waiting) > 0 {
		switch {
		case b.place(r, b.waiting[0].it, b.waiting[0].req):
			b.gone(r, st)
		case b.overtaken():
			b.release(r, st)
		default:
			return
		}
	}
}

// overtaken reports whether the push of a later answer is there. Pushes are seen
// in order and answered in order, so that of the first will not come any more.
func (b *sub) overtaken() bool {
	return slices.ContainsFunc(b.waiting[1:], func(w *waiter) bool {
		p := b.find(name(w.req.Nonce))
		return w.req.Nonce != "" && p != nil && !p.answered
	})
}

// orphan gives up on all that wait for a push.
func (b *sub) orphan(r *Recorder, st *stream) {
	for len(b.waiting) > 0 {
		b.release(r, st)
		b.drain(r, st)
	}
}
