package state

import (
	"cmp"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Base returns a record from which a Fold goes on as this one would: of what a
// sidecar holds, its open streams, and its unanswered pushes. Its Seq is for the
// caller to set. What it cannot carry starts anew: the count of lives, the texts
// of rejections, versions.
func (f *Fold) Base(id xds.Sidecar) (xds.Record, bool) {
	s := f.sides[id]
	if s == nil {
		return xds.Record{}, false
	}
	b := &xds.Base{Push: s.lastPush, Node: s.node}
	for _, st := range s.openStreams() {
		b.Streams = append(b.Streams, xds.BaseStream{Stream: st.ID, Open: st.Open})
	}
	for _, typ := range s.baseTypes() {
		b.Types = append(b.Types, s.baseType(typ))
	}
	for _, p := range s.unansweredPushes() {
		b.Pending = append(b.Pending, s.basePush(s.pending[p.Number]))
	}
	return xds.Record{Time: s.lastSeen, Kind: xds.KindBase, Sidecar: id, Base: b}, true
}

func (s *side) baseTypes() []string {
	types := append(sortedKeys(s.sent), s.offered.Types()...)
	types = append(append(types, s.accepted.Types()...), sortedKeys(s.doubts)...)
	slices.Sort(types)
	return slices.Compact(types)
}

func (s *side) baseType(typ string) xds.BaseType {
	t := xds.BaseType{Type: cmp.Or(s.sent[typ], typ), Uncertain: s.doubts[typ].reason}
	for _, id := range s.streamIDs() {
		t.Resources = append(t.Resources, s.baseEntries(s.streams[id], typ)...)
	}
	return t
}

func (s *side) streamIDs() []uint64 {
	out := make([]uint64, 0, len(s.streams))
	for id := range s.streams {
		out = append(out, id)
	}
	slices.SortFunc(out, cmp.Compare)
	return out
}

// baseEntries lists what one stream holds, by name: one entry for each version
// of it that is still of use.
func (s *side) baseEntries(st *stream, typ string) []xds.BaseEntry {
	names := map[string]bool{}
	for _, sn := range []*Snapshot{st.offered, st.accepted} {
		for n := range sn.All(typ) {
			names[n] = true
		}
	}
	var out []xds.BaseEntry
	for _, n := range sortedKeys(names) {
		out = append(out, s.baseEntry(st, typ, n)...)
	}
	return out
}

func (s *side) baseEntry(st *stream, typ, name string) []xds.BaseEntry {
	var out []xds.BaseEntry
	add := func(d xds.Digest, ok bool, held xds.Held) {
		if !ok {
			return
		}
		for i := range out {
			if out[i].Digest == bodyOf(d) {
				out[i].Held |= held
				return
			}
		}
		out = append(out, xds.BaseEntry{Name: name, Digest: bodyOf(d), Held: held, Stream: st.id})
	}
	offered, ok := st.offered.Lookup(typ, name)
	add(offered, ok, xds.HeldOffered)
	accepted, has := st.accepted.Lookup(typ, name)
	add(accepted, has, xds.HeldAccepted)
	if active, ok := s.baseActive(typ, name); ok && has {
		add(active, true, xds.HeldActive)
	}
	return out
}

func bodyOf(d xds.Digest) xds.Digest {
	if d == xds.Bodyless {
		return xds.Digest{}
	}
	return d
}

func (s *side) basePush(p *pending) xds.BasePush {
	b := xds.BasePush{Number: p.number, Stream: p.stream, Type: cmp.Or(s.sent[p.typ], p.typ), Nonce: p.nonce, Removed: p.removed, Full: p.full}
	st := s.streams[p.stream]
	for _, n := range p.names {
		if st == nil || st.wanted(p.typ, n.name) {
			b.Names = append(b.Names, n.name)
		}
	}
	return b
}

// restore makes a sidecar what a base says. All that was known of it before
// gives way, except the count of lives.
func (f *Fold) restore(r xds.Record) Step {
	old := f.side(r.Sidecar)
	step := Step{ID: r.Sidecar, Before: old.active}
	s := newSide(r.Sidecar, f.deps)
	s.incarnation, s.mismatches = max(old.incarnation, 1), old.mismatches
	s.lastPush, s.node, s.lastSeen = r.Base.Push, r.Base.Node, r.Time
	for _, b := range r.Base.Streams {
		st := s.stream(b.Stream)
		st.open, st.old = b.Open, true
	}
	for _, t := range r.Base.Types {
		s.restoreType(t)
	}
	guess := guessed(r.Base)
	s.rewarm(guess)
	if guess {
		s.prune()
	}
	for _, p := range r.Base.Pending {
		s.restorePush(p, r)
	}
	s.restoreRejected(r)
	f.sides[r.Sidecar] = s
	step.After = s.active
	return step
}

func (s *side) restoreType(t xds.BaseType) {
	typ := xds.Canonical(t.Type)
	s.sent[typ] = t.Type
	if t.Uncertain != "" {
		s.doubts[typ] = doubt{reason: t.Uncertain}
	}
	edits := map[uint64]*ownEdit{}
	active := s.active.Edit()
	for _, en := range t.Resources {
		e := edits[en.Stream]
		if e == nil {
			e = s.ownEdit(en.Stream, typ)
			edits[en.Stream] = e
		}
		e.add(typ, en)
		if en.Held&xds.HeldActive != 0 {
			active.Set(typ, en.Name, digestOf(xds.Entry{Digest: en.Digest}))
		}
	}
	for _, e := range edits {
		e.done()
	}
	s.active = active.Done()
	s.join(typ)
}

// ownEdit fills one stream from a base.
type ownEdit struct {
	st                *stream
	offered, accepted *Editor
}

func (s *side) ownEdit(id uint64, typ string) *ownEdit {
	st := s.known(id)
	if _, ok := st.types[typ]; !ok {
		st.types[typ] = interest{}
	}
	return &ownEdit{st: st, offered: st.offered.Edit(), accepted: st.accepted.Edit()}
}

// known is a stream of a base; one that the base does not list has ended.
func (s *side) known(id uint64) *stream {
	st := s.streams[id]
	if st == nil {
		st = s.stream(id)
		st.closed, st.old = true, true
	}
	return st
}

func (e *ownEdit) add(typ string, en xds.BaseEntry) {
	d := digestOf(xds.Entry{Digest: en.Digest})
	if en.Held&xds.HeldOffered != 0 {
		e.offered.Set(typ, en.Name, d)
	}
	if en.Held&xds.HeldAccepted != 0 {
		e.accepted.Set(typ, en.Name, d)
	}
}

func (e *ownEdit) done() {
	e.st.offered, e.st.accepted = e.offered.Done(), e.accepted.Done()
}

// join lays the streams of a base over one another, the newer over the older.
func (s *side) join(typ string) {
	offered, accepted := s.offered.Edit(), s.accepted.Edit()
	for _, id := range s.streamIDs() {
		for n, d := range s.streams[id].offered.All(typ) {
			offered.Set(typ, n, d)
		}
		for n, d := range s.streams[id].accepted.All(typ) {
			accepted.Set(typ, n, d)
		}
	}
	s.offered, s.accepted = offered.Done(), accepted.Done()
}

// rewarm finds what was accepted and not active. A base whose entries say
// nothing of what was active holds what was accepted. There, what is on its way
// out misses its endpoints and is active still: they go before it does.
func (s *side) rewarm(guess bool) {
	e := &edit{s: s, accepted: s.accepted.Edit(), active: s.active.Edit()}
	for d := range Differences(s.active, s.accepted) {
		offered, _ := s.offered.Lookup(d.Type, d.Name)
		leaves := guess && offered != d.New
		if waits := e.missing(d.Type, d.New); len(waits) > 0 && !leaves {
			s.warming[Ref{d.Type, d.Name}] = waits
			continue
		}
		if d.New.IsZero() {
			e.active.Delete(d.Type, d.Name)
			continue
		}
		e.active.Set(d.Type, d.Name, d.New)
	}
	s.active = e.active.Done()
}

func (s *side) restorePush(b xds.BasePush, r xds.Record) {
	p := &pending{number: b.Number, stream: b.Stream, typ: xds.Canonical(b.Type), nonce: b.Nonce, time: r.Time, full: b.Full, removed: b.Removed}
	st := s.known(b.Stream)
	for _, n := range b.Names {
		d, ok := st.offered.Lookup(p.typ, n)
		if !ok {
			d = xds.Bodyless
		}
		p.names = append(p.names, named{name: n, digest: d})
	}
	if _, ok := st.types[p.typ]; !ok {
		st.types[p.typ] = interest{}
	}
	st.pushed = true
	s.pending[p.number] = p
}

// restoreRejected takes a listener or cluster whose offered version is neither
// accepted nor waiting for an answer for a rejected one, of unknown reason.
func (s *side) restoreRejected(r xds.Record) {
	waits := map[Ref]bool{}
	for _, p := range s.pending {
		for _, n := range p.names {
			waits[Ref{p.typ, n.name}] = true
		}
	}
	for d := range Differences(s.accepted, s.offered) {
		if d.Type != xds.ListenerType && d.Type != xds.ClusterType || d.New.IsZero() || waits[Ref{d.Type, d.Name}] {
			continue
		}
		s.rejected[episode{d.Type, d.Name}] = Rejection{Type: cmp.Or(s.sent[d.Type], d.Type), Name: d.Name, Push: r.Base.Push, Since: r.Time, Count: 1}
	}
}
