package replay

import (
	"maps"
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// baseVersion is the version of what no recorded push brought.
const baseVersion = "base"

// step sends what of a push a stream asked for; nil when that is nothing. Callers
// hold the hub's lock.
func (s *stream) step(h *hub, sub *subscription, st *Step) *delivery {
	var entries []xds.Entry
	for _, e := range st.Push.Resources {
		if sub.takes(e.Name) {
			entries = append(entries, e)
		}
	}
	var removed []string
	for _, n := range st.Push.Removed {
		if sub.takes(n) {
			removed = append(removed, n)
		}
	}
	whole := st.Type == xds.ListenerType || st.Type == xds.ClusterType
	empty := len(st.Push.Resources)+len(st.Push.Removed) == 0
	if !whole && !empty && len(entries)+len(removed) == 0 {
		return nil
	}
	if !s.delta {
		if whole && st.Push.Delta {
			entries = complete(sub, st, entries)
		}
		return s.sendSotW(h, sub, entries, st.Push.Version)
	}
	if whole {
		removed = append(removed, leftovers(sub, st, removed)...)
	}
	return s.sendDelta(h, sub, entries, removed, st.Push.Version)
}

// complete adds to what a push of the incremental variant brought what a client of
// the other one would otherwise take for removed.
func complete(sub *subscription, st *Step, entries []xds.Entry) []xds.Entry {
	has := map[string]bool{}
	for _, e := range entries {
		has[e.Name] = true
	}
	for n, d := range st.After.snapshot(st.Type).All(st.Type) {
		if !has[n] && sub.takes(n) {
			entries = append(entries, xds.Entry{Name: n, Digest: d})
		}
	}
	return entries
}

// leftovers are what the client holds and the recorded one no longer did: it had
// been started anew, or learned it from a response that named everything.
func leftovers(sub *subscription, st *Step, removed []string) []string {
	var out []string
	for n := range sub.held {
		if _, ok := st.After.offered.Lookup(st.Type, n); !ok && !st.holds(n) && !slices.Contains(removed, n) {
			if _, ok := st.After.accepted.Lookup(st.Type, n); !ok {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out
}

// state sends resources as the world has them. What the client claims to hold and
// the world does not have is removed. Callers hold the hub's lock.
func (s *stream) state(h *hub, sub *subscription, names []string) *delivery {
	slices.Sort(names)
	var entries []xds.Entry
	for _, n := range names {
		d, _ := h.world.Lookup(sub.typ, n)
		entries = append(entries, xds.Entry{Name: n, Digest: d})
	}
	if !s.delta {
		return s.sendSotW(h, sub, entries, baseVersion)
	}
	var removed []string
	if sub.wants[all] {
		for n := range sub.held {
			if !slices.Contains(names, n) {
				removed = append(removed, n)
			}
		}
	}
	return s.sendDelta(h, sub, entries, removed, baseVersion)
}

func (s *stream) sendDelta(h *hub, sub *subscription, entries []xds.Entry, removed []string, version string) *delivery {
	resp := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: sub.url, SystemVersionInfo: version, Nonce: h.nonce(), RemovedResources: removed}
	d := &delivery{removed: len(removed)}
	for _, e := range entries {
		body, ok := h.body(sub, e, d)
		if !ok {
			continue
		}
		r := &discoveryv3.Resource{Name: e.Name, Version: e.Version, Aliases: e.Aliases, Resource: body}
		if e.TTL > 0 {
			r.Ttl = durationpb.New(e.TTL)
		}
		resp.Resources = append(resp.Resources, r)
		sub.gave(e.Name)
	}
	for _, n := range removed {
		delete(sub.held, n)
		delete(sub.wants, n)
	}
	delete(sub.wants, all)
	d.resources = len(resp.Resources)
	return h.send(s, sub, resp, resp.GetNonce(), d)
}

func (s *stream) sendSotW(h *hub, sub *subscription, entries []xds.Entry, version string) *delivery {
	resp := &discoveryv3.DiscoveryResponse{TypeUrl: sub.url, VersionInfo: version, Nonce: h.nonce()}
	d := &delivery{}
	for _, e := range entries {
		body, ok := h.body(sub, e, d)
		if !ok {
			continue
		}
		if e.Wrapped {
			body = wrap(e, body)
		}
		resp.Resources = append(resp.Resources, body)
		sub.gave(e.Name)
	}
	delete(sub.wants, all)
	d.resources = len(resp.Resources)
	return h.send(s, sub, resp, resp.GetNonce(), d)
}

// gave notes that a resource was sent.
func (sub *subscription) gave(name string) {
	sub.held[name] = true
	delete(sub.wants, name)
}

// body is what goes out for an entry: nil for one that never had a body, false for
// one that cannot be served.
func (h *hub) body(sub *subscription, e xds.Entry, d *delivery) (*anypb.Any, bool) {
	if e.State == xds.EntryEmpty {
		return nil, true
	}
	b, altered, err := h.bodies.Serve(sub.url, e.Name, e.Digest)
	d.altered = d.altered || altered
	return b, err == nil
}

// wrap puts a resource into the wrapper that carries its time to live.
func wrap(e xds.Entry, body *anypb.Any) *anypb.Any {
	r := &discoveryv3.Resource{Name: e.Name, Version: e.Version, Aliases: e.Aliases, Resource: body}
	if e.TTL > 0 {
		r.Ttl = durationpb.New(e.TTL)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil { // it was made here, of valid parts
		return body
	}
	return &anypb.Any{TypeUrl: xds.ResourceWrapper, Value: b}
}

// rebase makes the world another one at once, as when a loop begins again: every
// stream is sent what it asked for, in the order that breaks least.
func (h *hub) rebase(w World) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.world = w
	for _, typ := range []string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.RouteType} {
		for s := range h.streams {
			sub := s.subs[typ]
			if sub == nil {
				continue
			}
			if sub.wild {
				sub.wants[all] = true
			}
			maps.Copy(sub.wants, sub.names)
			h.supply(s, sub, true)
		}
	}
	h.touch()
}
