package judge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// remedyRule is one way out: for which events, under which condition, how.
type remedyRule struct {
	kinds []xds.EventKind
	when  func(situation) bool
	write func(situation) xds.Remedy
}

// Events by what went wrong for the one who calls.
var (
	captures  = []xds.EventKind{xds.EvCapture, xds.EvDeadCapture, xds.EvOpened, xds.EvStanding}
	inspected = []xds.EventKind{xds.EvStalled, xds.EvInspected}
	disturbed = slices.Concat(captures, inspected)
)

// remedyRules is the whole table, in the order in which remedies are shown.
var remedyRules = []remedyRule{
	// A service entry without addresses took a port.
	{captures, entryTookPort, addressesOnEntry},
	{disturbed, hasWitness, ownEntry},
	{disturbed, foreignOwner, exportToOwn},
	{disturbed, hasNamespace, sidecarScope},
	{captures, dnsCaptureHelps, dnsCapture},
	{disturbed, onePort, excludePort},
	// A port is read before it is passed on.
	{inspected, hasOwner, nameProtocol},
	{inspected, anyway, detectionTimeout},
	// Access was opened or closed under REGISTRY_ONLY.
	{[]xds.EventKind{xds.EvClosed}, hasWitness, registerEntry},
	{[]xds.EventKind{xds.EvClosed}, hasNamespace, allowAny},
	// A service broke.
	{[]xds.EventKind{xds.EvDead}, endsIn(xds.NoEndpoints), lookAtEndpoints},
	{[]xds.EventKind{xds.EvDead, xds.EvDeadCapture}, endsIn(xds.NoCluster), missingCluster},
	{[]xds.EventKind{xds.EvDead}, endsIn(xds.NoRoute, xds.NoChain, xds.Refused, xds.NotIntercepted), restoreOwner},
	{[]xds.EventKind{xds.EvRelease}, wasServed, restoreOwner},
	{[]xds.EventKind{xds.EvRetarget, xds.EvFlap}, compete, keepApart},
	{[]xds.EventKind{xds.EvFlap}, comesAndGoes, steadyEndpoints},
	{[]xds.EventKind{xds.EvTransport}, hasOwner, transportPolicy},
	{[]xds.EventKind{xds.EvUnsure}, anyway, tellMore},
	// The protocol.
	{[]xds.EventKind{xds.EvNACK}, anyway, repairRejected},
	{[]xds.EventKind{xds.EvUnanswered}, anyway, lookAtWarming},
	{[]xds.EventKind{xds.EvDetached}, anyway, lookAtControlPlane},
	{[]xds.EventKind{xds.EvGap}, anyway, healGap},
}

// situation is what remedies are written from.
type situation struct {
	e     xds.Event
	owner xds.Owner
	node  Node
	port  int    // the one port of the event, else 0
	addr  string // of the witness
	// endpoints are what the traffic reaches now.
	endpoints []xds.Endpoint
}

// remedies writes what applies. Where only what its owner declares is concerned
// there is nothing to get out of.
func (in Input) remedies(e xds.Event, shift xds.Shift, size extent) []xds.Remedy {
	s, out := situationOf(e, shift, in.Node), []xds.Remedy{}
	for _, r := range remedyRules {
		if slices.Contains(r.kinds, e.Kind) && r.when(s) && (size > declared || !slices.Contains(disturbed, e.Kind)) {
			out = append(out, r.write(s))
		}
	}
	return out
}

func situationOf(e xds.Event, shift xds.Shift, n Node) situation {
	s := situation{e: e, node: n, endpoints: shift.After.Endpoints, port: parsePorts(e.Ports).single()}
	if e.Owner != nil {
		s.owner = *e.Owner
	}
	if i := strings.LastIndexByte(e.Witness, ':'); i >= 0 {
		s.addr = strings.Trim(e.Witness[:i], "[]")
	}
	return s
}

func anyway(situation) bool         { return true }
func hasOwner(s situation) bool     { return s.owner.Host != "" || s.owner.Name != "" }
func onePort(s situation) bool      { return s.port != 0 }
func hasWitness(s situation) bool   { return s.addr != "" && s.port != 0 }
func hasNamespace(s situation) bool { return s.node.Namespace != "" }

func foreignOwner(s situation) bool {
	return hasOwner(s) && s.owner.Namespace != "" && s.owner.Namespace != s.node.Namespace
}

// isEntry: without a word about the kind, a host that no cluster suffix ends
// is most likely a service entry's.
func isEntry(s situation) bool {
	return s.owner.Kind == "ServiceEntry" || s.owner.Kind == "" && s.owner.Host != "" && !strings.HasSuffix(s.owner.Host, ".svc.cluster.local")
}

// entryTookPort: a service entry took more than addresses of its own.
func entryTookPort(s situation) bool { return isEntry(s) && s.port != 0 }

// dnsCaptureHelps: an allocated address is used only by proxies that answer
// DNS themselves, and never for resolution NONE (there is nothing to resolve)
// or wildcard hosts.
func dnsCaptureHelps(s situation) bool {
	return entryTookPort(s) && !s.node.DNSCapture && s.e.After != nil && s.e.After.Target != "original-dst" && !strings.Contains(s.owner.Host, "*")
}

// compete: two clusters are after the same destinations.
func compete(s situation) bool {
	return s.e.Before != nil && s.e.After != nil && clusters(*s.e.Before) != clusters(*s.e.After) && s.e.Before.Kind == s.e.After.Kind
}

// comesAndGoes: one cluster is usable in turns.
func comesAndGoes(s situation) bool {
	return s.e.Before != nil && s.e.After != nil && s.e.Before.Cluster == s.e.After.Cluster
}

func wasServed(s situation) bool {
	return hasOwner(s) && s.e.Before != nil && families[s.e.Before.Kind] == served
}

func endsIn(kinds ...xds.VerdictKind) func(situation) bool {
	return func(s situation) bool { return s.e.After != nil && slices.Contains(kinds, s.e.After.Kind) }
}

// resource is what the event is about, the zero Resource where it is about none.
func (s situation) resource() xds.Resource {
	if s.e.Resource == nil {
		return xds.Resource{}
	}
	return *s.e.Resource
}

// object names the owner as a command line or a YAML comment needs it.
func (s situation) object() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", firstOf(s.owner.Kind, "the object with host"), firstOf(s.owner.Host, s.owner.Name)))
}

// label makes a host or an address into a name that Kubernetes takes.
func label(s string) string {
	out := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	out = strings.Trim(out, "-")
	if len(out) > 60 {
		out = strings.Trim(out[:60], "-")
	}
	return firstOf(out, "x")
}

// ownerNamespace is the owner's, else the one in a Kubernetes host name.
func (s situation) ownerNamespace() string {
	if p := strings.Split(s.owner.Host, "."); s.owner.Namespace == "" && len(p) > 2 && p[2] == "svc" {
		return p[1]
	}
	return firstOf(s.owner.Namespace, "default")
}

func (s situation) namespace() string { return firstOf(s.node.Namespace, "default") }
