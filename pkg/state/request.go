package state

import (
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// request folds a subscription.
func (s *side) request(st *stream, r *xds.Request, step *Step) {
	typ := xds.Canonical(r.Type)
	if _, known := st.types[typ]; !known && !xds.Debug(typ) {
		s.first(st, typ, r, step)
	}
	s.ask(st, r)
}

// ask notes what a request or an answer says about what the client wants.
func (s *side) ask(st *stream, r *xds.Request) {
	typ := xds.Canonical(r.Type)
	if xds.Debug(typ) {
		return
	}
	if !r.Node.IsZero() {
		s.node = r.Node
	}
	s.sent[typ] = r.Type
	if r.Delta {
		s.askDelta(st, typ, r)
		return
	}
	s.askNames(st, typ, r.Names)
}

func (s *side) askDelta(st *stream, typ string, r *xds.Request) {
	if _, ok := st.types[typ]; !ok {
		st.types[typ] = interest{}
	}
	if len(r.Names) == 0 && len(r.Unsubscribe) == 0 {
		return
	}
	e := s.edit(st)
	defer e.done()
	for _, n := range r.Names {
		e.gone.Delete(typ, n)
	}
	for _, n := range r.Unsubscribe {
		e.gone.Set(typ, n, xds.Bodyless)
		e.drop(typ, n)
		e.unoffer(typ, n)
	}
}

// askNames notes a list of state of the world. What it no longer names is
// unsubscribed. An empty list means everything for a client that never named
// anything, and nothing for one that did.
func (s *side) askNames(st *stream, typ string, names []string) {
	in := st.types[typ]
	defer func() { st.types[typ] = in }()
	if len(names) == 0 && in.names == nil {
		return
	}
	if sameNames(in.names, names) {
		return
	}
	in.names = make(map[string]bool, len(names))
	for _, n := range names {
		in.names[n] = true
	}
	if in.names["*"] {
		return
	}
	e := s.edit(st)
	defer e.done()
	for n := range st.accepted.All(typ) {
		if !in.names[n] {
			e.drop(typ, n)
		}
	}
	for n := range st.offered.All(typ) {
		if !in.names[n] {
			e.unoffer(typ, n)
		}
	}
}

func sameNames(have map[string]bool, names []string) bool {
	if have == nil || len(have) != len(names) {
		return false
	}
	for _, n := range names {
		if !have[n] {
			return false
		}
	}
	return true
}

// contact notes that a type travels on a stream whose first request of it was not
// seen, and gives the stream what a base could not say whose it is.
func (s *side) contact(st *stream, asSent string) {
	typ := xds.Canonical(asSent)
	if s.sent[typ] == "" {
		s.sent[typ] = asSent
	}
	if _, known := st.types[typ]; known || xds.Debug(typ) {
		return
	}
	st.types[typ] = interest{}
	if o := s.streams[0]; o != nil && o != st && o.holds(typ) {
		s.inherit(o, st, typ, func(string) fate { return keep })
	}
}

// first folds the first request of a type on a stream: a new life of the
// sidecar, or the continuation of an earlier stream.
func (s *side) first(st *stream, typ string, r *xds.Request, step *Step) {
	empty := s.claimsNothing(st, typ, r)
	if typ == xds.ListenerType || typ == xds.ClusterType {
		s.live(st, empty, step)
	}
	if !st.old || len(s.before(st, typ, false)) > 0 {
		s.takeOver(st, typ, r, empty)
	}
}

// claimsNothing reports whether a first request says that the client holds
// nothing of a type. An empty version says so in state of the world, unless the
// last accepted version was itself empty (istiod sends one before its first
// configuration is complete, Envoy Gateway when it withdraws all).
func (s *side) claimsNothing(st *stream, typ string, r *xds.Request) bool {
	if r.Delta {
		return len(r.Initial) == 0
	}
	if r.Version != "" {
		return false
	}
	for _, o := range s.others(st) {
		if in := o.types[typ]; in.acked && in.version == "" {
			return false
		}
	}
	return true
}

// live starts a new incarnation where a lone new stream claims to hold nothing
// although the sidecar held something. Before the first push there is only one.
func (s *side) live(st *stream, empty bool, step *Step) {
	if s.incarnation == 0 {
		s.incarnation, step.Incarnation = 1, true
		return
	}
	held := s.accepted.Len(xds.ListenerType) + s.accepted.Len(xds.ClusterType)
	if !empty || held == 0 || st.old || st.pushed || len(st.types) > 0 || !s.alone(st) {
		return
	}
	fresh := newSide(s.id, s.deps)
	fresh.incarnation, fresh.lastPush, fresh.lastSeen, fresh.mismatches = s.incarnation+1, s.lastPush, s.lastSeen, s.mismatches
	fresh.node, fresh.streams[st.id] = s.node, st
	*s = *fresh
	step.Incarnation = true
}
