package traffic

import (
	"net/netip"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Drained names the listeners of old of which connections will be closed (after
// the drain time) because of the step to new: those that were removed, replaced,
// or lost or changed a filter chain. Sorted.
func (e *Engine) Drained(old, new *View) []string {
	var out []string
	for d := range state.Differences(old.snap, new.snap) {
		if d.Type == xds.ListenerType && !d.Old.IsZero() && e.fate(d.Old, d.New).closes() {
			out = append(out, d.Name)
		}
	}
	slices.Sort(out)
	return out
}

// fate is what an update of a listener does to its open connections.
type fate struct {
	all    bool         // every connection drains
	chains map[int]bool // those of these chains drain, by index; -1 is the default chain
}

func (f fate) closes() bool { return f.all || len(f.chains) > 0 }

// fate follows source/common/listener_manager/listener_manager_impl.cc and
// listener_impl.cc (supportUpdateFilterChain): an identical listener is left
// alone, one that differs in its filter chains only is updated in place, so that
// equal chains keep their connections, whatever their order; any other is
// replaced. Re-encoded messages are identical: Envoy hashes what they hold.
func (e *Engine) fate(old, new xds.Digest) fate {
	if old == new {
		return fate{}
	}
	if new.IsZero() {
		return fate{all: true}
	}
	a, errA := decode.As[*listenerv3.Listener](e.bodies, old)
	b, errB := decode.As[*listenerv3.Listener](e.bodies, new)
	if errA != nil || errB != nil {
		return fate{} // nobody knows
	}
	if !same(chainless(a), chainless(b)) || len(b.GetFilterChains()) == 0 && !same(a, b) {
		return fate{all: true}
	}
	return fate{chains: goneChains(a, b)}
}

// chainless is l without what may be updated in place.
func chainless(l *listenerv3.Listener) *listenerv3.Listener {
	return less(l, "filter_chains", "default_filter_chain", "filter_chain_matcher")
}

// goneChains are the chains of a that b does not have in the same form.
func goneChains(a, b *listenerv3.Listener) map[int]bool {
	out := map[int]bool{}
	for i, fc := range a.GetFilterChains() {
		equal := func(x *listenerv3.FilterChain) bool { return proto.Equal(fc, x) }
		alike := func(x *listenerv3.FilterChain) bool { return same(fc, x) }
		if !slices.ContainsFunc(b.GetFilterChains(), equal) && !slices.ContainsFunc(b.GetFilterChains(), alike) {
			out[i] = true
		}
	}
	if d := a.GetDefaultFilterChain(); d != nil && (b.GetDefaultFilterChain() == nil || !same(d, b.GetDefaultFilterChain())) {
		out[-1] = true
	}
	return out
}

// same reports that two messages hold the same, however they are encoded.
func same[T proto.Message](a, b T) bool {
	return proto.Equal(a, b) || proto.Equal(normal(a), normal(b))
}

// normal is m with the messages inside it encoded anew, so that equal content is
// equal bytes. What is not known stays as it is.
func normal[T proto.Message](m T) T {
	m = proto.CloneOf(m)
	normalise(m.ProtoReflect())
	return m
}

func normalise(m protoreflect.Message) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		normaliseAny(a)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { normalise(v.Message()); return true })
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				normalise(v.List().Get(i).Message())
			}
		default:
			normalise(v.Message())
		}
		return true
	})
}

func normaliseAny(a *anypb.Any) {
	inner, err := decode.Any(a)
	if err != nil {
		return
	}
	normalise(inner.ProtoReflect())
	if b, err := (proto.MarshalOptions{Deterministic: true, AllowPartial: true}).Marshal(inner); err == nil {
		a.Value = b
	}
}

// fates gives the fate of listeners of old, each worked out once.
func (e *Engine) fates(old, new *View) func(*listener) fate {
	memo := map[string]fate{}
	return func(l *listener) fate {
		f, ok := memo[l.name]
		if !ok {
			a, _ := old.snap.Lookup(xds.ListenerType, l.name)
			b, _ := new.snap.Lookup(xds.ListenerType, l.name)
			f = e.fate(a, b)
			memo[l.name] = f
		}
		return f
	}
}

// open says what becomes of connections that went to dst before: they stay with
// the listener and the chain that took them.
func (c *comparison) open(p pair, dst netip.AddrPort, sig xds.Signal) xds.Connections {
	if p.old == nil || c.fates == nil {
		return ""
	}
	f := c.fates(p.old)
	switch {
	case f.all:
		return xds.Drained
	case len(f.chains) == 0:
		return xds.Kept
	}
	for i, ch := range p.old.chains {
		if f.chains[i] && c.old.takes(p.old, ch, dst, sig) {
			return xds.Drained
		}
	}
	if f.chains[-1] && c.old.takes(p.old, p.old.def, dst, sig) {
		return xds.Drained
	}
	return xds.Kept
}
