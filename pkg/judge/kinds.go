package judge

import "github.com/xdsproxy/xdsproxy/pkg/xds"

// family is a row or a column of the table: verdict kinds that mean the same to
// the question "what happened".
type family string

const (
	passes  family = "passthrough"
	blocked family = "blocked"
	served  family = "served" // service, tunnel, local reply
	broken  family = "broken" // no endpoints, no cluster, no chain, no route, refused
	stalls  family = "stall"
	cannot  family = "unknown"
	outside family = "not-intercepted"
	waits   family = "pending"
)

// families says which family a verdict kind belongs to.
var families = map[xds.VerdictKind]family{
	xds.Passthrough: passes,
	xds.Blocked:     blocked,
	xds.Service:     served, xds.Tunnel: served, xds.LocalReply: served,
	xds.NoEndpoints: broken, xds.NoCluster: broken, xds.NoChain: broken, xds.NoRoute: broken, xds.Refused: broken,
	xds.Stall:          stalls,
	xds.Unknown:        cannot,
	xds.NotIntercepted: outside,
	xds.Pending:        waits,
}

// none is a shift that is no event.
const none xds.EventKind = ""

// Two entries of the table depend on more than the families.
const (
	ifInspectionRose  xds.EventKind = "inspected if inspection rose"
	retargetTransport xds.EventKind = "retarget or transport"
)

// kinds is the table: before -> after -> what happened. Pending keeps the old
// verdict and is therefore in no row or column; from unknown there is no event,
// because nothing is known to have changed. Not intercepted is the state of a
// proxy without a catch-all: a listener of its own that goes is an outage.
var kinds = map[family]map[family]xds.EventKind{
	passes: {
		passes: ifInspectionRose, blocked: xds.EvClosed, served: xds.EvCapture,
		broken: xds.EvDeadCapture, stalls: xds.EvStalled, cannot: xds.EvUnsure,
	},
	blocked: {
		passes: xds.EvOpened, blocked: none, served: xds.EvOpened,
		broken: none, stalls: none, cannot: xds.EvUnsure,
	},
	served: {
		passes: xds.EvRelease, blocked: xds.EvClosed, served: retargetTransport,
		broken: xds.EvDead, stalls: xds.EvStalled, cannot: xds.EvUnsure, outside: xds.EvDead,
	},
	broken: {
		passes: xds.EvRelease, blocked: none, served: xds.EvRevived,
		broken: none, stalls: none, cannot: none,
	},
	stalls: {
		passes: xds.EvRelease, blocked: none, served: xds.EvRevived,
		broken: none, stalls: none, cannot: none,
	},
	outside: {served: xds.EvRevived},
}

// inspections orders how much Envoy reads before it passes a connection on.
var inspections = map[string]int{"": 0, "none": 0, "sniffed": 1, "http": 2}

// KindOf is the event kind of a shift, "" for a shift that is no event.
func KindOf(before, after xds.Verdict) xds.EventKind {
	switch k := kinds[families[before.Kind]][families[after.Kind]]; k {
	case ifInspectionRose:
		if inspections[after.Inspection] > inspections[before.Inspection] {
			return xds.EvInspected
		}
		return none
	case retargetTransport:
		if onlyTransport(before, after) {
			return xds.EvTransport
		}
		return xds.EvRetarget
	default:
		return k
	}
}

// onlyTransport reports whether connections reach the same place in other dress.
func onlyTransport(before, after xds.Verdict) bool {
	if before.Transport == after.Transport {
		return false
	}
	after.Transport = before.Transport
	return before.Same(after)
}

// ownedBefore lists the kinds whose owner is that of the cluster before.
var ownedBefore = map[xds.EventKind]bool{
	xds.EvRelease: true, xds.EvDead: true, xds.EvClosed: true, xds.EvUnsure: true,
}
