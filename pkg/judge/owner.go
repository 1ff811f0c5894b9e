package judge

import (
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// owner is whose object an event came from. What an EnvoyFilter did carries no
// trace of it and stays without one.
func (in Input) owner(kind xds.EventKind, s xds.Shift, ports portSet) *xds.Owner {
	v, view, op := s.After, in.New, "add"
	if ownedBefore[kind] {
		v, view, op = s.Before, in.Old, "remove"
	}
	if o := ask(view, v); o != nil {
		return o
	}
	if kind == xds.EvStalled || kind == xds.EvInspected || kind == xds.EvRelease {
		return in.suspect(view, op, ports)
	}
	return nil
}

func ask(view View, v xds.Verdict) *xds.Owner {
	if view != nil {
		if o := view.Owner(v); o != nil {
			return o
		}
	}
	return parsedOwner(v.Cluster)
}

// parsedOwner reads the host from a cluster name of Istio's form,
// direction|port|subset|host. Neither port nor host holds a bar.
func parsedOwner(cluster string) *xds.Owner {
	p := strings.Split(cluster, "|")
	if len(p) != 4 || p[0] != "outbound" || p[3] == "" {
		return nil
	}
	return &xds.Owner{Host: p[3]}
}

// suspect is the owner of the one service that came (or went) on these ports
// in the same group. An inspector has no owner of its own: it is there because
// some service on the port speaks a protocol that has to be told apart.
func (in Input) suspect(view View, op string, ports portSet) *xds.Owner {
	var out *xds.Owner
	for _, c := range in.Changes {
		if c.Op != op || xds.Canonical(c.Type) != xds.ClusterType || !onPorts(c.Name, ports) {
			continue
		}
		o := ask(view, xds.Verdict{Kind: xds.Service, Cluster: c.Name})
		if o == nil || out != nil && ownerKey(o) != ownerKey(out) {
			return nil
		}
		out = o
	}
	return out
}

func onPorts(cluster string, ports portSet) bool {
	p := strings.Split(cluster, "|")
	if len(p) != 4 || p[0] != "outbound" {
		return false
	}
	return slices.ContainsFunc(parsePorts(p[1]), func(r portRange) bool { return ports.has(r.lo) })
}

func ownerKey(o *xds.Owner) string {
	if o == nil {
		return ""
	}
	return strings.Join([]string{o.Kind, o.Namespace, o.Name, o.Host}, "/")
}

// ownerName is an owner as a sentence names it, "" when there is none.
func ownerName(o *xds.Owner) string {
	if o == nil {
		return ""
	}
	s := strings.TrimSpace(o.Kind + " " + firstOf(o.Host, o.Name))
	if o.Namespace != "" {
		s += " in namespace " + o.Namespace
	}
	return s
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
