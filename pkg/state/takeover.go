package state

import (
	"cmp"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// fate is what becomes of a resource of an ended stream when the client's next
// stream of the same service asks for the type.
type fate int

const (
	leave fate = iota // not this stream's business
	keep              // the client still holds it
	lose              // the client does not hold it
)

// claim is what the first request of a type says about what the client holds.
type claim struct {
	typ     string
	r       *xds.Request
	empty   bool            // it holds nothing, it says
	names   map[string]bool // what it asks for; nil = everything
	mine    bool            // the request speaks for the whole type, not for its names only
	partial bool            // neither LDS nor CDS
}

// takeOver moves what ended streams left behind to the stream that goes on in
// their place, as far as the client says that it still holds it, and adds what
// it says to hold and nobody recorded. A single-type stream, and a client that
// asks for listeners by name, speak for the names they ask for.
func (s *side) takeOver(st *stream, typ string, r *xds.Request, empty bool) {
	c := claim{typ: typ, r: r, empty: empty, partial: typ != xds.ListenerType && typ != xds.ClusterType}
	if len(r.Names) > 0 && !slices.Contains(r.Names, "*") {
		c.names = make(map[string]bool, len(r.Names))
		for _, n := range r.Names {
			c.names[n] = true
		}
	}
	removed := map[string]bool{}
	for _, o := range s.before(st, typ, !empty) {
		c.mine = c.names == nil && !c.partial || !st.single() && c.speaksFor(s, st, o)
		if !c.mine && c.names == nil {
			continue
		}
		s.settle(o, c)
		o.removedShakily(typ, removed)
		lost := s.inherit(o, st, typ, func(n string) fate { return c.fate(o, n) })
		if r.Delta && !empty {
			s.mismatches += lost
		}
	}
	if r.Delta && !empty {
		s.complete(st, c, removed)
	}
}

// before lists the streams that st may go on for: the ended ones of the same
// service, and, where the client claims to hold something, older open ones whose
// end is still to be seen.
func (s *side) before(st *stream, typ string, claims bool) []*stream {
	var out []*stream
	for _, o := range s.others(st) {
		if (o.closed || o.id == 0 || claims && o.id < st.id) && o.like(st) && (o.holds(typ) || len(o.lost) > 0) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
	return out
}

// speaksFor reports whether an aggregated stream goes on for o as a whole: they
// share a name, or o is the only one that it can go on for.
func (c claim) speaksFor(s *side, st, o *stream) bool {
	for n := range c.names {
		if _, ok := o.accepted.Lookup(c.typ, n); ok {
			return true
		}
	}
	return len(s.before(st, c.typ, false)) == 1
}

// fate decides about one name that the older stream o left.
func (c claim) fate(o *stream, name string) fate {
	_, listed := c.r.Initial[name]
	asked := c.names[name] || c.names == nil && c.partial
	_, shaky := o.shaky.Lookup(c.typ, name)
	switch {
	case listed || c.partial && asked || shaky && !c.empty:
		return keep
	case !c.mine && !asked:
		return leave
	case c.empty || c.r.Delta:
		return lose
	case c.names != nil && !asked:
		return lose
	}
	return keep
}

// settle applies what an ended stream pushed and was not answered for, as far as
// the client's claim shows that it took it.
func (s *side) settle(o *stream, c claim) {
	if !o.closed {
		return
	}
	for _, p := range o.lost {
		if p.typ != c.typ || c.r.Delta {
			continue
		}
		if p.version != "" && p.version == c.r.Version && p.version != o.types[c.typ].version {
			s.take(o, p, nil)
		}
	}
	if c.r.Delta {
		s.settleDelta(o, c)
	}
}

// settleDelta takes of unanswered Delta pushes the names whose claimed version
// is theirs, and those that the client did not hold before.
func (s *side) settleDelta(o *stream, c claim) {
	e := s.edit(o)
	defer e.done()
	for _, p := range o.lost {
		if p.typ != c.typ {
			continue
		}
		for _, n := range p.names {
			version, listed := c.r.Initial[n.name]
			_, held := e.ownAccepted.Lookup(c.typ, n.name)
			if listed && (!held || version != "" && version == n.version) {
				e.accept(c.typ, n.name, n.digest)
				e.note(c.typ, n, false)
			}
		}
		for _, n := range p.removed {
			if _, listed := c.r.Initial[n]; !listed && !c.partial {
				e.drop(c.typ, n)
			}
		}
	}
}

// removedShakily adds to out the names that a partly rejected push took away.
func (st *stream) removedShakily(typ string, out map[string]bool) {
	for n := range st.shaky.All(typ) {
		if _, held := st.accepted.Lookup(typ, n); !held {
			out[n] = true
		}
	}
}

// inherit gives what o holds of a type to st, each name as decide says. An open
// stream keeps its own copy until it ends.
func (s *side) inherit(o, st *stream, typ string, decide func(string) fate) (lost uint64) {
	var gone []string
	e := s.edit(st)
	for n, d := range o.accepted.All(typ) {
		switch decide(n) {
		case keep:
			e.accept(typ, n, d)
			e.offer(typ, n, d)
			e.copyNotes(o, typ, n)
			gone = append(gone, n)
		case lose:
			gone = append(gone, n)
			lost++
		}
	}
	e.done()
	if !o.closed {
		return 0
	}
	e = s.edit(o)
	for _, n := range gone {
		e.drop(typ, n)
	}
	for n := range o.offered.All(typ) {
		if decide(n) != leave {
			e.unoffer(typ, n)
		}
	}
	e.done()
	s.bury(o)
	return lost
}

// copyNotes carries over what is known of a resource besides its digest.
func (e *edit) copyNotes(o *stream, typ, name string) {
	if v, ok := o.versions.Lookup(typ, name); ok {
		e.versions.Set(typ, name, v)
	}
	if v, ok := o.shaky.Lookup(typ, name); ok {
		e.shaky.Set(typ, name, v)
	}
}

// complete adds what the client claims to hold and nobody recorded, and gives up
// the bytes of what it claims to hold in another version. The list of names is
// exact; where it comes with versions it also ends all doubt about the content.
func (s *side) complete(st *stream, c claim, not map[string]bool) {
	e := s.edit(st)
	defer e.done()
	known, versions := s.lastPush > 0, false
	for _, n := range sortedKeys(c.r.Initial) {
		_, held := e.ownAccepted.Lookup(c.typ, n)
		versions = versions || c.r.Initial[n] != ""
		if not[n] || held && !e.stale(c.typ, n, c.r.Initial[n]) {
			continue
		}
		e.accept(c.typ, n, xds.Bodyless)
		e.offer(c.typ, n, xds.Bodyless)
		e.versions.Delete(c.typ, n)
		if known {
			s.mismatches++
		}
	}
	if versions {
		delete(s.doubts, c.typ)
	}
}

// stale reports whether the client claims another version than the known one.
func (e *edit) stale(typ, name, version string) bool {
	v, ok := e.versions.Lookup(typ, name)
	return ok && version != "" && v != xds.DigestOf([]byte(version))
}
