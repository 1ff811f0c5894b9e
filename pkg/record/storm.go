package record

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// stormHeld is how many pushes wait to be judged equal; beyond it they are
// written.
const stormHeld = 64

// storm is a push that is rejected and comes again, and again: servers that take
// a NACK for a request send the same push at once, thousands of times a second.
// The first pair stands in the history, the others are a count.
type storm struct {
	push   signature // of the rejected push; empty: no storm can begin
	nack   xxh3.Uint128
	number uint64
	owner  xds.Sidecar
	count  uint64
	last   *item // the newest counted answer
	since  time.Time
	held   []*push // equal pushes whose answer is not there yet
}

// signature stands for what a push says, whatever its nonce, version and order.
// The zero signature equals none.
type signature struct{ hi, lo, n uint64 }

func (s *storm) repeats(sig signature) bool { return sig.n != 0 && sig == s.push }

func (s *storm) end() { *s = storm{} }

func (r *Recorder) signature(p *xds.Push) signature {
	if p.Omitted != "" {
		return signature{}
	}
	sum := signature{n: 1}
	var b []byte
	for _, e := range p.Resources {
		if e.State == xds.EntryBodyless {
			return signature{} // what it held is not known
		}
		b = append(append(append(b[:0], e.Digest[:]...), byte(e.State)), e.Name...)
		sum.add(xxh3.Hash128Seed(b, r.red.seed))
	}
	for _, name := range p.Removed {
		sum.add(xxh3.HashString128Seed("-"+name, r.red.seed))
	}
	return sum
}

// add is the same in any order.
func (s *signature) add(h xxh3.Uint128) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, h.Lo, 0)
	s.hi, _ = bits.Add64(s.hi, h.Hi, carry)
	s.n++
}

// nackSignature is all of a NACK but its nonce.
func nackSignature(q *xds.Request) xxh3.Uint128 {
	return xxh3.HashString128(fmt.Sprintf("%d %q %q %q %q %q", q.Error.Code, q.Error.Message, q.Version, q.Names, q.Unsubscribe, q.Error.Rest))
}

// answer takes the answer to p.
func (b *sub) answer(r *Recorder, p *push, it *item, q *xds.Request) {
	s := &b.storm
	if p.held != nil && q.Error != nil && nackSignature(q) == s.nack {
		s.one(p, it, q)
		return
	}
	b.flush(r)
	again := p.answered
	p.answered = true
	b.asked = askedBy(q)
	it.rec.Sidecar = p.owner
	it.answer(q, p.number, 0)
	r.out = append(r.out, it)
	if again {
		return
	}
	s.end()
	if q.Error != nil && p.sig.n != 0 {
		*s = storm{push: p.sig, nack: nackSignature(q), number: p.number, owner: p.owner}
	}
}

// one counts an equal pair.
func (s *storm) one(p *push, it *item, q *xds.Request) {
	p.answered, p.held, p.number = true, nil, s.number
	for i, h := range s.held {
		if h == p {
			s.held = append(s.held[:i], s.held[i+1:]...)
			break
		}
	}
	if s.count == 0 {
		s.since = it.rec.Time
	}
	s.count++
	it.rec.Sidecar = s.owner
	it.answer(q, s.number, s.count)
	s.last = it
}

// flush writes the count, then the pushes that are held.
func (b *sub) flush(r *Recorder) {
	b.storm.writeCount(r)
	b.writeHeld(r, len(b.storm.held))
}

func (s *storm) writeCount(r *Recorder) {
	if s.count > 0 {
		r.out = append(r.out, s.last)
		s.count, s.last = 0, nil
	}
}

// writeHeld writes the n pushes that have been held longest.
func (b *sub) writeHeld(r *Recorder, n int) {
	held := b.storm.held[:n]
	b.storm.held = b.storm.held[n:]
	for _, p := range held {
		it := p.held
		p.held = nil
		r.write(p, it, 0)
	}
}

// advance writes what has waited long enough at t: a storm's count after a
// second, an answer without its push after ten.
func (b *sub) advance(r *Recorder, st *stream, t time.Time) {
	if s := &b.storm; s.count > 0 && overdue(s.since, t) {
		s.writeCount(r)
	}
	for len(b.storm.held) > 0 && overdue(b.storm.held[0].held.rec.Time, t) {
		b.storm.writeCount(r) // pairs that came before it
		b.writeHeld(r, 1)
	}
	for len(b.waiting) > 0 {
		w := b.waiting[0]
		if w.since.IsZero() {
			w.since = t // its own time may be of another clock
		}
		if t.Sub(w.since) < parkedFor {
			return
		}
		b.release(r, st)
		b.drain(r, st)
	}
}

// overdue: a second has passed; a clock that was set back does not hold a storm up.
func overdue(since, t time.Time) bool {
	d := t.Sub(since)
	return d < 0 || d >= time.Second
}
