package state

import "github.com/xdsproxy/xdsproxy/pkg/xds"

// doubt is why what is known of a type may be wrong.
type doubt struct {
	reason string
	names  map[string]bool // the doubtful ones; nil = any
}

// doubt notes that a type is uncertain; the first reason is kept.
func (s *side) doubt(typ, reason string, names map[string]bool) {
	old, ok := s.doubts[typ]
	if !ok {
		s.doubts[typ] = doubt{reason: reason, names: names}
		return
	}
	if old.names == nil || names == nil {
		s.doubts[typ] = doubt{reason: old.reason}
		return
	}
	both := make(map[string]bool, len(old.names)+len(names))
	for n := range old.names {
		both[n] = true
	}
	for n := range names {
		both[n] = true
	}
	s.doubts[typ] = doubt{reason: old.reason, names: both}
}

// gap doubts the types a gap names: all that the sidecar asks for where it names
// none.
func (s *side) gap(r xds.Record) {
	g := r.Gap
	s.mayBeLost(r.Stream, r.Time)
	types := g.Types
	if len(types) == 0 {
		types = append(s.accepted.Types(), sortedKeys(s.sent)...)
	}
	for _, t := range types {
		s.doubt(xds.Canonical(t), "gap: "+g.Reason, nil)
	}
}

// heal ends the doubt about a type when an accepted push says all of it again:
// state of the world LDS and CDS do; any other push does when it brings every
// doubtful name.
func (s *side) heal(st *stream, p *pending) {
	d, ok := s.doubts[p.typ]
	if !ok || p.omitted != "" {
		return
	}
	if p.full || covers(p.has(), d.names, s.accepted, p.typ) {
		delete(s.doubts, p.typ)
	}
}

func covers(has, names map[string]bool, held *Snapshot, typ string) bool {
	if names != nil {
		for n := range names {
			if !has[n] {
				return false
			}
		}
		return true
	}
	if len(has) < held.Len(typ) || len(has) == 0 {
		return false
	}
	for n := range held.All(typ) {
		if !has[n] {
			return false
		}
	}
	return true
}
