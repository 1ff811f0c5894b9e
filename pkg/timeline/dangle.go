package timeline

import (
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// bootstrap names the clusters that Istio's bootstrap brings: nothing is missing
// when a listener names one of them.
var bootstrap = map[string]bool{"prometheus_stats": true, "agent": true, "sds-grpc": true, "xds-grpc": true, "zipkin": true}

// OfBootstrap reports whether a name is a cluster that Istio's bootstrap brings.
func OfBootstrap(r state.Ref) bool { return r.Type == xds.ClusterType && bootstrap[r.Name] }

// dangles reports whether the way from one snapshot to another left a name that
// is referred to and not there. What was dangling before does not count.
func (w *Walk) dangles(before, now *state.Snapshot) bool {
	if w.cfg.Refs == nil {
		return false
	}
	removed := map[state.Ref]bool{}
	for d := range state.Differences(before, now) {
		if d.New.IsZero() {
			removed[state.Ref{Type: d.Type, Name: d.Name}] = true
			continue
		}
		if w.names(d, before, now) {
			return true
		}
	}
	return len(removed) > 0 && w.stillNamed(removed, now)
}

// names reports whether a new version names something that is not there, and that
// its old version did not name in vain already.
func (w *Walk) names(d state.Difference, before, now *state.Snapshot) bool {
	var old []state.Ref
	if !d.Old.IsZero() {
		old = w.cfg.Refs(d.Type, d.Old)
	}
	for _, ref := range w.cfg.Refs(d.Type, d.New) {
		if there(now, ref) || OfBootstrap(ref) {
			continue
		}
		if !slices.Contains(old, ref) || there(before, ref) {
			return true
		}
	}
	return false
}

func (w *Walk) stillNamed(removed map[state.Ref]bool, now *state.Snapshot) bool {
	for _, typ := range []string{xds.ListenerType, xds.RouteType, xds.ClusterType} {
		for _, d := range now.All(typ) {
			for _, ref := range w.cfg.Refs(typ, d) {
				if removed[ref] {
					return true
				}
			}
		}
	}
	return false
}

func there(s *state.Snapshot, r state.Ref) bool {
	_, ok := s.Lookup(r.Type, r.Name)
	return ok
}
