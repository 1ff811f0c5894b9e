package state

import (
	"fmt"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// pending is a push without an answer. It never changes.
type pending struct {
	number  uint64
	stream  uint64
	typ     string // canonical
	nonce   string
	version string
	time    time.Time
	full    bool // state of the world LDS or CDS: what it does not name goes
	names   []named
	removed []string
	omitted string
}

type named struct {
	name    string
	digest  xds.Digest
	version string
}

// wholesale reports whether a response without a name means that it is gone:
// state of the world LDS and CDS only. All other types are partial
// (source/extensions/config_subscription/grpc/grpc_mux_impl.cc hands every watch
// what the response holds for it; lds_api.cc and cds_api_impl.cc alone remove
// what is missing).
func wholesale(typ string, delta bool) bool {
	return !delta && (typ == xds.ListenerType || typ == xds.ClusterType)
}

// Heartbeat reports whether a push only refreshes what was sent before: it names
// resources, and none has a body. It changes nothing and counts for nothing.
func Heartbeat(p *xds.Push) bool {
	for _, e := range p.Resources {
		if e.State != xds.EntryEmpty {
			return false
		}
	}
	return len(p.Resources) > 0 && len(p.Removed) == 0 && p.Omitted == ""
}

func newPending(r xds.Record) *pending {
	p := &pending{number: r.Push.Number, stream: r.Stream, typ: xds.Canonical(r.Push.Type), nonce: r.Push.Nonce, version: r.Push.Version,
		time: r.Time, removed: r.Push.Removed, omitted: r.Push.Omitted}
	p.full = wholesale(p.typ, r.Push.Delta) && p.omitted == ""
	for _, e := range r.Push.Resources {
		if nameless(e) { // whatever it is, it is not gone
			p.full, p.omitted = false, "a resource whose name was not recorded"
			continue
		}
		if e.State != xds.EntryEmpty {
			p.names = append(p.names, named{name: e.Name, digest: digestOf(e), version: e.Version})
		}
	}
	return p
}

// nameless: neither name nor content of a resource was recorded.
func nameless(e xds.Entry) bool { return e.State == xds.EntryBodyless && e.Name == "" }

// digestOf is how an entry stands in a snapshot.
func digestOf(e xds.Entry) xds.Digest {
	if e.Digest.IsZero() {
		return xds.Bodyless
	}
	return e.Digest
}

// has reports which names a push holds.
func (p *pending) has() map[string]bool {
	out := make(map[string]bool, len(p.names))
	for _, n := range p.names {
		out[n.name] = true
	}
	return out
}

func (s *side) push(st *stream, r xds.Record) {
	s.lastPush = max(s.lastPush, r.Push.Number)
	st.pushed = true
	typ := xds.Canonical(r.Push.Type)
	if xds.Debug(typ) {
		return
	}
	s.contact(st, r.Push.Type)
	if Heartbeat(r.Push) {
		s.heartbeat(typ, r.Push)
		return
	}
	p := newPending(r)
	s.pending[p.number] = p
	if p.omitted != "" {
		s.doubt(typ, fmt.Sprintf("#%d: content not recorded (%s)", p.number, p.omitted), nil)
	}
	s.offer(st, p)
}

// heartbeat doubts the type when Envoy may have taken it for an empty answer:
// of a state of the world listener response without bodies Envoy 1.40 keeps no
// resource, and removes every listener.
func (s *side) heartbeat(typ string, p *xds.Push) {
	if wholesale(typ, p.Delta) {
		s.doubt(typ, fmt.Sprintf("#%d: a heartbeat, which Envoy may take for the removal of everything", p.Number), nil)
	}
}

func (s *side) offer(st *stream, p *pending) {
	e := s.edit(st)
	defer e.done()
	for _, n := range p.names {
		e.offer(p.typ, n.name, n.digest)
	}
	for _, n := range p.removed {
		e.unoffer(p.typ, n)
	}
	if !p.full {
		return
	}
	has := p.has()
	for n := range st.offered.All(p.typ) {
		if !has[n] {
			e.unoffer(p.typ, n)
		}
	}
}

// take applies a push that the client accepted, or, of one that it rejected, what
// the verdict on it left.
func (s *side) take(st *stream, p *pending, v *verdict) {
	e := s.edit(st)
	in, gone, shaky := p, s.removals(st, p), v != nil
	if v != nil {
		in = p.but(*v)
	}
	if p.typ == xds.ListenerType { // removals first: an address can move to another name
		e.takeAway(p, gone, shaky)
		e.takeIn(in, shaky)
	} else {
		e.takeIn(in, shaky)
		e.takeAway(p, gone, shaky)
	}
	e.done()
	if v == nil { // a rejection names the version that was accepted before
		t := st.types[p.typ]
		t.version, t.acked = p.version, true
		st.types[p.typ] = t
	}
}

// removals lists what a push takes away from the client. Envoy ignores
// removed_resources of endpoints and routes while it asks for them
// (source/extensions/clusters/eds/eds.cc, source/common/rds/rds_route_config_subscription.cc).
func (s *side) removals(st *stream, p *pending) []string {
	if p.typ == xds.EndpointType || p.typ == xds.RouteType {
		return nil
	}
	if !p.full {
		return p.removed
	}
	var out []string
	has := p.has()
	for n := range st.accepted.All(p.typ) {
		if !has[n] {
			out = append(out, n)
		}
	}
	return out
}

func (e *edit) takeIn(p *pending, shaky bool) {
	for _, n := range p.names {
		if !e.st.wanted(p.typ, n.name) {
			continue
		}
		e.accept(p.typ, n.name, n.digest)
		e.note(p.typ, n, shaky)
	}
}

func (e *edit) note(typ string, n named, shaky bool) {
	if n.version != "" {
		e.versions.Set(typ, n.name, xds.DigestOf([]byte(n.version)))
	}
	if shaky {
		e.shaky.Set(typ, n.name, n.digest)
		return
	}
	e.shaky.Delete(typ, n.name)
}

func (e *edit) takeAway(p *pending, gone []string, shaky bool) {
	for _, n := range gone {
		e.drop(p.typ, n)
		if shaky {
			e.shaky.Set(p.typ, n, xds.Bodyless)
		}
	}
}
