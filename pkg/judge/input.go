package judge

import (
	"net/netip"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// View is what the judge asks a compiled snapshot. *traffic.View is one.
type View interface {
	// Resolve says where a connection goes. src is the sidecar's own address.
	Resolve(dst netip.AddrPort, src netip.Addr, sig xds.Signal) xds.Verdict
	// Owner names the object behind a verdict, nil when nothing tells.
	Owner(v xds.Verdict) *xds.Owner
}

// Input is all that one group of pushes is judged on. The zero value of each
// field is valid: nothing known, nothing happened.
type Input struct {
	// Sidecar is who received the group; Display is its name in events
	// (default: Sidecar.Name()).
	Sidecar xds.Sidecar
	Display string
	// First and Last are the group's first and last push.
	First, Last PushRef
	// Settled is false when the group was closed by its time limit.
	Settled bool
	// Node is what the sidecar told about itself.
	Node Node
	// Watch are the destinations whose shifts are always critical.
	Watch []Watch

	// Shifts and Changes are what differs between the snapshots before and
	// after the group; Drained the listeners whose open connections will be
	// closed by it. A baseline has none of them.
	Shifts  []xds.Shift
	Changes []xds.Change
	Drained []string
	// Old and New answer for the snapshots before and after the group. Either
	// may be nil (owners are then read from cluster names).
	Old, New View
	// FirstPush finds the first push of the group after which the verdict for
	// this destination and signal is no longer the given one. nil, or a zero
	// Number: the group's first push.
	FirstPush func(dst netip.AddrPort, sig xds.Signal, before xds.Verdict) PushRef

	// Facts are the protocol facts that became known with this group (or, with
	// no shifts, between groups).
	Facts []Fact
	// Uncertain are reasons why this may be computed on wrong state, as they
	// are shown ("#40 gap: queue full").
	Uncertain []string
	// Memory is what Next returned for the group before; zero at the start.
	Memory Memory
}

// PushRef is a push with its time.
type PushRef struct {
	Number uint64
	Time   time.Time
}

// Node is what judging needs of a discovery node.
type Node struct {
	IP         netip.Addr // the sidecar's own address, the source of its connections
	Namespace  string
	Labels     map[string]string
	DNSCapture bool // metadata DNS_CAPTURE: auto-allocated addresses work for it
}

// Watch is a destination that the user said matters.
type Watch struct {
	Prefix netip.Prefix
	Port   uint16 // 0 = every port
}

// Fact is something the protocol showed that is no shift. Kind is one of nack,
// nack-cleared, unanswered, detached, gap, standing.
type Fact struct {
	Kind xds.EventKind
	// Push is what the fact belongs to: the rejected, repairing or unanswered
	// push, else the last push before it; its Time is the event's.
	Push PushRef
	// Resource is what was rejected or repaired (Name "" = the whole response
	// of that type), or the type that is unanswered.
	Resource xds.Resource
	// Message is the client's error, or the reason of a gap or detachment.
	Message string
	// Count is how often it happened so far (equal nacks of one episode, lost
	// sightings of a gap).
	Count uint64
	// For is how long it had lasted at that time (unanswered, detached), or
	// the length of the episode (nack-cleared).
	For time.Duration
	// Standing, and it alone: what stands, as a shift from what the catch-all
	// would do (Before) to what the listener does (After).
	Shift *xds.Shift
}

// Memory is what one group's judging leaves for the next: the timeline keeps it
// per sidecar and per incarnation. It is a value: Next and Due return a new one.
type Memory struct {
	dead []pending
	seen []swing
	told []flapTold
	gone portSet // ports whose listeners went and have not come back
}

// Wake is the time at which Due has something to look at; zero: never.
func (m Memory) Wake() time.Time {
	var t time.Time
	for _, p := range m.dead {
		if due := p.since.Add(DeadAfter); t.IsZero() || due.Before(t) {
			t = due
		}
	}
	return t
}
