package judge

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// StateView is what state rules ask a compiled snapshot. *traffic.View is one.
type StateView interface {
	View
	// Classes gives one verdict per class of signal that the listener of a
	// destination tells apart.
	Classes(dst netip.AddrPort, src netip.Addr) []xds.Verdict
	// Cluster says what a connection that gets to a cluster would meet.
	Cluster(name string) xds.Verdict
}

// State is one sidecar at one moment, as state rules look at it: no step, no
// history. Fields without a comment are required.
type State struct {
	Sidecar xds.Sidecar
	// Display is the sidecar's name in findings. Default: Sidecar.Name().
	Display string
	// Node is what the sidecar told about itself. Default: nothing.
	Node Node
	// Snapshot is what is judged: mostly what takes traffic.
	Snapshot *state.Snapshot
	// Accepted is what the sidecar acknowledged. Default: nil, then nothing is
	// said of what waits.
	Accepted *state.Snapshot
	// Rejected is what it refuses. Default: nothing.
	Rejected []state.Rejection
	Cache    *decode.Cache
	View     StateView // of Snapshot
	// Refs tells what a resource names (traffic.Engine.Refs).
	Refs state.Deps
}

// Finding is something that a rule found in a state.
type Finding struct {
	Rule     string        `json:"rule"`
	Severity xds.Severity  `json:"severity"`
	Sidecar  string        `json:"sidecar"`
	At       string        `json:"at,omitempty"` // revision; the caller knows it
	Ports    string        `json:"ports"`
	Resource *xds.Resource `json:"resource"`
	Witness  string        `json:"witness,omitempty"` // a destination that shows it
	Signals  []xds.Class   `json:"signals"`           // nil = all
	Verdict  *xds.Side     `json:"verdict,omitempty"` // of the witness
	Owner    *xds.Owner    `json:"owner"`
	Summary  string        `json:"summary"`
	Message  string        `json:"message,omitempty"` // of a rejection
	Remedies []xds.Remedy  `json:"remedies"`
	// Uncertain are reasons why it may be wrong; the caller knows them.
	Uncertain []string `json:"uncertain,omitempty"`
}

// StateRule looks for one thing that is wrong with a state, whenever it came.
type StateRule struct {
	Name  string
	Finds string // in one sentence
	On    bool   // unless told otherwise
	// Severity of what it finds. A finding that matters more or less than most
	// says so itself, unless Fixed.
	Severity xds.Severity
	Fixed    bool

	find func(*stateCheck) []Finding
}

// stateRules is the whole table, in the order of display.
var stateRules = []StateRule{
	{Name: "dead-capture", On: true, Severity: xds.Critical, find: deadCaptures,
		Finds: "A wildcard listener takes a whole port that would pass through, and leads nowhere."},
	{Name: "capture", On: true, Severity: xds.High, find: liveCaptures,
		Finds: "A wildcard listener takes a whole port that would pass through, for a service (info where connections still reach the address they were made to)."},
	{Name: "bypass", On: true, Severity: xds.High, find: bypasses,
		Finds: "What nobody declared is blocked, but one port lets it through (critical where to any address)."},
	{Name: "server-first-stall", On: true, Severity: xds.High, find: knownStalls,
		Finds: "An inspector waits for the client on a port where servers speak first: connections hang (medium where they concern one address)."},
	{Name: "sniffed-port", On: false, Severity: xds.Low, find: sniffedPorts,
		Finds: "A wildcard listener reads the first bytes of what it passes through, as every HTTP port does: a server that speaks first is not heard on it."},
	{Name: "missing-cluster", On: true, Severity: xds.Medium, find: missingClusters,
		Finds: "A listener or a route that it uses leads to a cluster that does not exist."},
	{Name: "missing-resource", On: true, Severity: xds.Medium, find: missingResources,
		Finds: "A listener or cluster waits for routes or endpoints that were never sent, and takes no traffic in this version."},
	{Name: "empty-cluster", On: true, Severity: xds.Low, find: emptyClusters,
		Finds: "A cluster that traffic is sent to has no usable endpoint."},
	{Name: "armed-nack", On: true, Severity: xds.High, find: armedNACKs,
		Finds: "A rejected version was never replaced: Envoy runs on an older one, and will not have it after a restart (medium for other types than listeners and clusters)."},
	{Name: "client-picks-address", On: true, Severity: xds.Medium, find: headerClusters,
		Finds: "A cluster dials whatever address a request header names."},
}

// StateRules lists the rules there are, with their defaults.
func StateRules() []StateRule { return slices.Clone(stateRules) }

// stateCheck is a State with what several rules need, worked out once.
type stateCheck struct {
	State
	in    Input // for remedies and names
	taken []taken
	asked bool
}

// CheckState applies those of the rules that are on: worst first, in an order
// that depends on nothing but the state.
func CheckState(s State, rules []StateRule) []Finding {
	c := &stateCheck{State: s, in: Input{Sidecar: s.Sidecar, Display: s.Display, Node: s.Node, New: s.View}}
	var out []Finding
	for _, r := range rules {
		if !r.On || r.find == nil {
			continue
		}
		for _, f := range r.find(c) {
			f.Rule, f.Sidecar = r.Name, c.in.name()
			if f.Severity == "" || r.Fixed {
				f.Severity = r.Severity
			}
			if f.Remedies == nil {
				f.Remedies = []xds.Remedy{}
			}
			out = append(out, f)
		}
	}
	SortFindings(out)
	return out
}

// SortFindings orders findings for display: worst first.
func SortFindings(fs []Finding) {
	name := func(f Finding) string {
		if f.Resource == nil {
			return ""
		}
		return f.Resource.Type + f.Resource.Name
	}
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), strings.Compare(a.Sidecar, b.Sidecar),
			strings.Compare(a.Rule, b.Rule), strings.Compare(name(a), name(b)), strings.Compare(a.Ports, b.Ports))
	})
}

// remedies writes the ways out that an event of that kind has.
func (c *stateCheck) remedies(kind xds.EventKind, f Finding, after xds.Verdict) []xds.Remedy {
	side := SideOf(after)
	e := xds.Event{Kind: kind, Sidecar: c.in.name(), Ports: f.Ports, Witness: f.Witness, Owner: f.Owner, After: &side, Resource: f.Resource, Message: f.Message}
	return c.in.remedies(e, xds.Shift{After: after}, wide)
}
