package store

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// origin is where a record stands: what it does not say itself is found from
// there. A nil origin knows nothing.
type origin struct {
	x   *index
	seg *segment
	seq uint64
	// missed is told the names of resources whose bodies are lost, with their digests.
	missed func(name string)
}

func (o *origin) at(seq uint64) *origin {
	if o == nil {
		return nil
	}
	return &origin{o.x, o.seg, seq, o.missed}
}

var errNoOrigin = errors.New("it builds on a record that is not there")

// lostError says that a record is there and cannot be told, because what it
// builds on is lost.
type lostError struct {
	seq uint64 // the record that is lost
	err error
}

func (e *lostError) Error() string { return fmt.Sprintf("it builds on record %d: %v", e.seq, e.err) }
func (e *lostError) Unwrap() error { return e.err }

// gap stands for r.
func (e *lostError) gap(r xds.Record) xds.Record {
	g := &xds.Gap{Reason: fmt.Sprintf("a %s is damaged: it builds on record %d, which is lost", r.Kind, e.seq), Lost: 1}
	if r.Push != nil {
		g.Types = []string{r.Push.Type}
		g.Reason = fmt.Sprintf("push %d is damaged: it builds on record %d, which is lost", r.Push.Number, e.seq)
	}
	return xds.Record{Time: r.Time, Kind: xds.KindGap, Stream: r.Stream, Sidecar: r.Sidecar, Gap: g}
}

// digest names a body of the segment.
func (o *origin) digest(n uint64) (xds.Digest, bool) {
	if o == nil {
		return xds.Digest{}, false
	}
	return o.seg.bodies.digest(n)
}

// entries reads the list of a push.
func (o *origin) entries(m *manifest) ([]xds.Entry, error) {
	if o == nil || m.back >= o.seq && m.back > 0 {
		return nil, errNoOrigin
	}
	var old []xds.Entry
	if m.back > 0 {
		var err error
		if old, err = o.x.list(o.seg, o.seq-m.back); err != nil {
			return nil, &lostError{o.seq - m.back, err}
		}
	}
	out, err := m.apply(old, false, o)
	if err == nil {
		o.x.lists.add(listAt{o.seg, o.seq}, listed{entries: out})
	}
	return out, err
}

// names reads the list of names of an earlier request.
func (o *origin) names(back uint64) ([]string, error) {
	if o == nil || back >= o.seq {
		return nil, errNoOrigin
	}
	names, err := o.x.names(o.seg, o.seq-back)
	if err != nil {
		return nil, &lostError{o.seq - back, err}
	}
	return names, nil
}

// record finds the bytes of one record.
func (x *index) record(s *segment, seq uint64) (out []byte, err error) {
	f, ok := s.frameWith(seq)
	if !ok {
		return nil, errNoOrigin
	}
	c, err := x.content(s, f)
	if err != nil {
		return nil, err
	}
	n := c.prev
	err = c.eachRecord(func(b []byte) (bool, error) {
		if kindOf(b) != xds.KindBase {
			n++
		}
		if n == seq && kindOf(b) != xds.KindBase {
			out = b
		}
		return out == nil, nil
	})
	if err == nil && out == nil {
		err = errNoOrigin
	}
	return out, err
}

// list reads the resources of an earlier push: down to one that is known or
// whole, and up again.
func (x *index) list(s *segment, seq uint64) ([]xds.Entry, error) {
	var todo []step
	var list []xds.Entry
	own := false
	for {
		if l, ok := x.lists.get(listAt{s, seq}); ok {
			list = l.entries
			break
		}
		b, err := x.record(s, seq)
		if err != nil {
			return nil, err
		}
		m, err := manifestOf(b)
		if err != nil || m.back >= seq {
			return nil, errors.Join(errNoOrigin, err)
		}
		todo = append(todo, step{seq, m})
		if m.back == 0 {
			break
		}
		seq -= m.back
	}
	for i := len(todo) - 1; i >= 0; i-- {
		var err error
		if list, err = todo[i].m.apply(list, own, &origin{x: x, seg: s, seq: todo[i].seq}); err != nil {
			return nil, err
		}
		own = true
	}
	if len(todo) > 0 {
		x.lists.add(listAt{s, todo[0].seq}, listed{entries: list})
	}
	return list, nil
}

// step is one manifest on the way.
type step struct {
	seq uint64
	m   manifest
}

// manifestOf finds the manifest in the bytes of a push.
func manifestOf(b []byte) (m manifest, err error) {
	found := false
	d := decoder{rest: b}
	for d.next() {
		if d.num == kindField+protowire.Number(xds.KindPush) {
			d.sub(func(d *decoder) {
				for d.next() {
					if d.num == 11 {
						found = true
						d.sub(func(d *decoder) { m = getManifest(d) })
					}
				}
			})
		}
	}
	if d.err == nil && !found {
		d.err = errManifest
	}
	return m, d.err
}

// names reads the names in an earlier request.
func (x *index) names(s *segment, seq uint64) ([]string, error) {
	at := listAt{s, seq}
	if l, ok := x.lists.get(at); ok {
		return l.names, nil
	}
	b, err := x.record(s, seq)
	if err != nil {
		return nil, err
	}
	r, err := getRecord(b, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	switch {
	case r.Request != nil:
		names = r.Request.Names
	case r.Answer != nil:
		names = r.Answer.Names
	default:
		return nil, errNoOrigin
	}
	x.lists.add(at, listed{names: names})
	return names, nil
}

// kindOf reads the kind in the bytes of a record.
func kindOf(b []byte) xds.Kind {
	d := decoder{rest: b}
	for d.next() {
		if d.num == 4 {
			return xds.Kind(d.uint())
		}
	}
	return 0
}
