package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// found is one shift that is an event, before shifts of one event are merged.
type found struct {
	trait
	owner   *xds.Owner
	severe  xds.Severity
	witness netip.AddrPort // of a watched destination, else zero
}

// trait is what the severity rules look at.
type trait struct {
	kind          xds.EventKind
	shift         xds.Shift
	extent        extent
	ports         portSet
	endpointsOnly bool // dead, and nothing but endpoints changed
	watched       bool
}

// shiftEvents gives one event per (kind, before, after, owner), however many
// shifts and cells say it.
func (in Input) shiftEvents() []xds.Event {
	var order []string
	byKey := map[string][]found{}
	for _, s := range in.Shifts {
		f, ok := in.find(s)
		if !ok {
			continue
		}
		k := mergeKey(f)
		if byKey[k] == nil {
			order = append(order, k)
		}
		byKey[k] = append(byKey[k], f)
	}
	var out []xds.Event
	for _, k := range order {
		out = append(out, in.merge(byKey[k]))
	}
	return out
}

// find classifies one shift.
func (in Input) find(s xds.Shift) (found, bool) {
	kind := KindOf(s.Before, s.After)
	if kind == none || kind == xds.EvRevived && in.isNew(s) {
		return found{}, false
	}
	f := found{trait: trait{
		kind: kind, shift: s, extent: extentOf(s), ports: portsOf(s.Cells),
		endpointsOnly: kind == xds.EvDead && in.onlyEndpoints(s),
	}}
	f.witness, f.watched = in.watched(s)
	f.owner = in.owner(kind, s, f.ports)
	f.severe = severityOf(f.trait)
	return f, true
}

// onlyEndpoints reports whether a cluster lost its endpoints and nothing else
// of what leads to them changed.
func (in Input) onlyEndpoints(s xds.Shift) bool {
	if s.After.Kind != xds.NoEndpoints || s.Before.Cluster != s.After.Cluster || len(s.Before.Clusters) != len(s.After.Clusters) {
		return false
	}
	names := []string{s.After.Cluster}
	for _, c := range s.After.Clusters {
		names = append(names, c.Name)
	}
	return !slices.ContainsFunc(in.Changes, func(c xds.Change) bool {
		return xds.Canonical(c.Type) == xds.ClusterType && slices.Contains(names, c.Name)
	})
}

// gone: no listener takes the connection any more.
func gone(k xds.VerdictKind) bool { return k == xds.Refused || k == xds.NotIntercepted }

// isNew reports whether something is served for the first time, at a listener
// of its own: nothing is revived then, and nobody lost anything.
func (in Input) isNew(s xds.Shift) bool {
	return s.Before.Kind == xds.NotIntercepted && !in.Memory.gone.overlaps(portsOf(s.Cells))
}

// outage and comeback: listeners themselves go or come back. Then everything
// behind them is one event, whatever it led to. So is everything that one
// reason makes unknown.
func (f found) outage() bool   { return f.kind == xds.EvDead && gone(f.shift.After.Kind) }
func (f found) comeback() bool { return f.kind == xds.EvRevived && gone(f.shift.Before.Kind) }

func mergeKey(f found) string {
	before, after, owner := sideKey(SideOf(f.shift.Before)), sideKey(SideOf(f.shift.After)), ownerKey(f.owner)
	switch {
	case f.outage():
		before, owner = "", ""
	case f.comeback():
		after, owner = "", ""
	case f.kind == xds.EvUnsure:
		before, after, owner = "", f.shift.After.Reason, ""
	}
	return strings.Join([]string{string(f.kind), before, after, owner}, "\x00")
}

// merge makes one event of the shifts of one key.
func (in Input) merge(fs []found) xds.Event {
	lead := slices.MaxFunc(fs, func(a, b found) int { return a.rank() - b.rank() })
	dst, sig := lead.seen()
	e := in.event(lead.kind, in.firstPush(dst, sig, lead.shift.Before))
	e.Severity, e.Owner = lead.severe, lead.owner
	before, after := SideOf(lead.shift.Before), SideOf(lead.shift.After)
	if several(fs) {
		e.Owner = nil
		if lead.comeback() {
			after = xds.Side{Kind: xds.Service}
		} else {
			before = xds.Side{Kind: xds.Service}
		}
	}
	e.Before, e.After = &before, &after
	e.Witness = lead.shift.Witness
	if dst.IsValid() {
		e.Witness = dst.String()
	}
	var cells []xds.Cell
	e.Open = xds.Kept
	for _, f := range fs {
		cells = append(cells, f.shift.Cells...)
		if f.shift.Open == xds.Drained {
			e.Open = xds.Drained
		}
	}
	e.Ports = portsOf(cells).String()
	e.Cells, e.More = limitCells(mergeCells(cells))
	in.stamp(&e, strings.Split(mergeKey(lead), "\x00")...)
	e.Summary = summary(e, lead.shift)
	e.Remedies = in.remedies(e, lead.shift, lead.extent)
	return e
}

// several reports whether the shifts of one event lead from or to several places.
func several(fs []found) bool {
	return slices.ContainsFunc(fs, func(f found) bool {
		return sideKey(SideOf(f.shift.Before)) != sideKey(SideOf(fs[0].shift.Before)) || sideKey(SideOf(f.shift.After)) != sideKey(SideOf(fs[0].shift.After))
	})
}

// rank orders the shifts of one event by how well they show it.
func (f found) rank() int {
	n := f.severe.Rank()*10 + int(f.extent)
	if f.watched {
		n += 100
	}
	return n
}

// seen is the destination and signal that show the shift.
func (f found) seen() (netip.AddrPort, xds.Signal) {
	var sig xds.Signal
	if f.shift.Signal != nil {
		sig = *f.shift.Signal
	}
	if f.watched {
		return f.witness, sig
	}
	dst, err := netip.ParseAddrPort(f.shift.Witness)
	if err != nil {
		return netip.AddrPort{}, sig
	}
	return dst, sig
}

func (in Input) firstPush(dst netip.AddrPort, sig xds.Signal, before xds.Verdict) PushRef {
	if in.FirstPush == nil || !dst.IsValid() {
		return in.First
	}
	return in.FirstPush(dst, sig, before)
}

// SideOf is a verdict in short, as events show it.
func SideOf(v xds.Verdict) xds.Side {
	return xds.Side{
		Kind: v.Kind, Reason: v.Reason, Inspection: v.Inspection, Target: v.Target, Status: v.Status,
		Cluster: v.Cluster, Clusters: v.Clusters, PortOverride: v.PortOverride, Transport: v.Transport, Listener: v.Listener,
	}
}

// sideKey is what makes two sides the same event: where traffic ends, not
// through which listener or how closely it was looked at. All pass-throughs are
// one, and all denials.
func sideKey(s xds.Side) string {
	if s.Kind == xds.Blocked {
		return string(s.Kind)
	}
	return fmt.Sprintf("%s|%s|%d|%s|%v|%d|%s", s.Kind, s.Target, s.Status, s.Cluster, s.Clusters, s.PortOverride, s.Transport)
}

// drainEvents tells that open connections will be closed where nothing else is
// told: of listeners that no shift concerns.
func (in Input) drainEvents() []xds.Event {
	var names []string
	for _, n := range in.Drained {
		if !slices.ContainsFunc(in.Shifts, func(s xds.Shift) bool { return s.Before.Listener == n || s.After.Listener == n }) {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	e := in.event(xds.EvDrain, in.Last)
	e.Severity, e.Open, e.Summary = xds.Low, xds.Drained, drainSentence(names)
	in.stamp(&e, names...)
	return []xds.Event{e}
}

// pendings are the events of evs that Due looks at again.
func (in Input) pendings(evs []xds.Event) []pending {
	var out []pending
	for _, s := range in.Shifts {
		f, ok := in.find(s)
		if !ok || !f.endpointsOnly || f.severe != xds.Info {
			continue
		}
		dst, sig := f.seen()
		i := slices.IndexFunc(evs, func(e xds.Event) bool { return e.Kind == xds.EvDead && e.Witness == s.Witness })
		if i >= 0 && dst.IsValid() {
			out = append(out, pending{event: evs[i], dst: dst, sig: sig, after: s.After, since: evs[i].Time})
		}
	}
	return out
}
