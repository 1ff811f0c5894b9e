package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// sentences says per kind what happened to "port P: these destinations". The
// verbs have one form for one destination and for many.
var sentences = map[xds.EventKind]func(before, after xds.Side) string{
	xds.EvCapture:     left,
	xds.EvDeadCapture: left,
	xds.EvRelease:     left,
	xds.EvRetarget:    retargetSentence,
	xds.EvOpened:      func(b, a xds.Side) string { return "went from blocked to " + place(a) },
	xds.EvClosed:      func(b, a xds.Side) string { return fmt.Sprintf("left %s and became blocked", clause(b)) },
	xds.EvInspected: func(b, a xds.Side) string {
		return fmt.Sprintf("kept passing through, but %s now waits for the first bytes and reads them", listener(a))
	},
	xds.EvStalled: func(b, a xds.Side) string {
		return fmt.Sprintf("left %s and got stuck: %s waits for the client to speak first", clause(b), listener(a))
	},
	xds.EvTransport: func(b, a xds.Side) string {
		return fmt.Sprintf("stayed with %s, but moved from %s to %s", place(a), dress(b), dress(a))
	},
	xds.EvDead:    deadSentence,
	xds.EvRevived: func(b, a xds.Side) string { return fmt.Sprintf("got back to %s (%s before)", place(a), stateWord(b)) },
	xds.EvUnsure: func(b, a xds.Side) string {
		return fmt.Sprintf("left %s for a place that cannot be told: %s", clause(b), firstOf(a.Reason, "no reason given"))
	},
	xds.EvStanding: func(_, a xds.Side) string {
		return fmt.Sprintf("had left passthrough before this history began, for %s", place(a))
	},
}

func left(b, a xds.Side) string { return fmt.Sprintf("left %s for %s", clause(b), place(a)) }

// summary is one plain sentence about a shift.
func summary(e xds.Event, s xds.Shift) string {
	say, ok := sentences[e.Kind]
	if !ok || e.After == nil {
		return string(e.Kind)
	}
	before := xds.Side{}
	if e.Before != nil {
		before = *e.Before
	}
	return fmt.Sprintf("%s: %s %s", portPhrase(e.Ports), destPhrase(e.Cells), say(before, *e.After))
}

func portPhrase(ports string) string {
	switch {
	case ports == "":
		return "no port"
	case ports == "*":
		return "all ports"
	case strings.ContainsAny(ports, ",-"):
		const most = 60
		if len(ports) > most {
			ports = ports[:strings.LastIndexByte(ports[:most], ',')+1] + "..."
		}
		return "ports " + strings.ReplaceAll(ports, ",", ", ")
	}
	return "port " + ports
}

// place is a side as the object of "left" or "went to".
func place(s xds.Side) string {
	switch s.Kind {
	case xds.Passthrough:
		return "passthrough"
	case xds.LocalReply:
		return fmt.Sprintf("an answer of Envoy's own (status %d)", s.Status)
	case xds.Blocked:
		return "a denial on purpose"
	case xds.NoChain:
		return fmt.Sprintf("nowhere: no filter chain of %s takes them", listener(s))
	case xds.NoRoute:
		return "a 404: no route takes them"
	case xds.Refused:
		return "nowhere: connections are refused"
	case xds.NotIntercepted:
		return "nowhere: no listener takes them"
	case xds.Stall:
		return "a stall"
	}
	return clusters(s) + ending(s)
}

// clause is a place in the middle of a sentence.
func clause(s xds.Side) string {
	p := place(s)
	if strings.Contains(p, ", ") {
		p += ","
	}
	return p
}

// ending says what is special about the end of the way.
func ending(s xds.Side) string {
	switch {
	case s.Kind == xds.NoEndpoints && s.Reason == "unhealthy":
		return ", which has no healthy endpoint"
	case s.Kind == xds.NoEndpoints:
		return ", which has no endpoints"
	case s.Kind == xds.NoCluster:
		return ", which does not exist"
	case s.PortOverride != 0:
		return fmt.Sprintf(" at port %d", s.PortOverride)
	}
	return ""
}

func clusters(s xds.Side) string {
	if len(s.Clusters) == 0 {
		return firstOf(s.Cluster, "several services")
	}
	var parts []string
	for _, c := range s.Clusters {
		parts = append(parts, fmt.Sprintf("%s (%d)", c.Name, c.Weight))
	}
	return strings.Join(parts, " and ")
}

func listener(s xds.Side) string {
	if s.Listener == "" {
		return "the listener"
	}
	return "listener " + s.Listener
}

func stateWord(s xds.Side) string {
	if s.Kind == xds.Stall {
		return "stalled"
	}
	return string(s.Kind)
}

func deadSentence(b, a xds.Side) string {
	if b.Cluster != "" && b.Cluster == a.Cluster {
		return "stayed with " + place(a)
	}
	return left(b, a)
}

// retargetSentence: one cluster may send connections on in another way.
func retargetSentence(b, a xds.Side) string {
	if b.Kind != xds.Service || a.Kind != xds.Service || clusters(b) != clusters(a) {
		return left(b, a)
	}
	return fmt.Sprintf("stayed with %s, but moved from %s to %s", clusters(a), target(b), target(a))
}

// target is where a cluster sends connections.
func target(s xds.Side) string {
	where := map[string]string{
		"original-dst": "the address that was dialled", "dns": "what its DNS name resolves to", "dynamic": "the host that is asked for",
	}[s.Target]
	where = firstOf(where, "its endpoints")
	if s.PortOverride != 0 {
		where += fmt.Sprintf(" at port %d", s.PortOverride)
	}
	return where
}

func dress(s xds.Side) string {
	return firstOf(map[string]string{"mtls": "mutual TLS", "tls": "TLS"}[s.Transport], s.Transport, "plaintext")
}

func drainSentence(names []string) string {
	return "nothing goes elsewhere, but open connections of " + list("listener ", names) + " will be closed after the drain time"
}

// list shows a few names and how many more there are.
func list(word string, names []string) string {
	const most = 4
	shown := names
	if len(names) > most {
		shown = names[:most]
	}
	s := word + strings.Join(shown, ", ")
	if n := len(names) - len(shown); n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// destPhrase says which destinations cells hold, as the subject of a sentence.
func destPhrase(cells []xds.Cell) string {
	dests, except := union(cells, func(c xds.Cell) []string { return c.Destinations }), union(cells, func(c xds.Cell) []string { return c.Except })
	s := list("", hosts(dests))
	switch {
	case len(cells) == 0:
		return "destinations"
	case slices.Contains(dests, "0.0.0.0/0"):
		s = "every destination"
	case slices.Contains(dests, "::/0"):
		s = "every IPv6 destination"
	}
	if len(except) > 0 {
		s += " except " + list("", hosts(except))
	}
	return s + signalPhrase(cells)
}

func union(cells []xds.Cell, of func(xds.Cell) []string) []string {
	var out []string
	for _, c := range cells {
		for _, s := range of(c) {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// hosts writes single addresses without their prefix length.
func hosts(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s
		if p, err := netip.ParsePrefix(s); err == nil && p.IsSingleIP() {
			out[i] = p.Addr().String()
		}
	}
	return out
}

// signalPhrase says what the client has to say, "" where it may say anything.
func signalPhrase(cells []xds.Cell) string {
	var all []xds.Class
	for _, c := range cells {
		if c.Signals == nil {
			return ""
		}
		all = append(all, c.Signals...)
	}
	if but := missing(all); but != nil {
		return " (all but " + strings.Join(but, " and ") + ")"
	}
	if parts := signalParts(all); len(parts) > 0 {
		return " (" + strings.Join(parts, "; ") + ")"
	}
	return ""
}

// missing are the one or two kinds of signal that classes leave out, nil where
// they leave out more, or a part of one.
func missing(all []xds.Class) []string {
	var out []string
	for _, k := range xds.SignalKinds {
		of := func(c xds.Class) bool { return c.Kind == k }
		switch {
		case !slices.ContainsFunc(all, of):
			out = append(out, string(k))
		case !slices.ContainsFunc(all, func(c xds.Class) bool { return of(c) && unlimited(c) }):
			return nil
		}
	}
	if len(out) > 2 {
		return nil
	}
	return out
}

// signalParts joins the kinds of signal that have the same limits.
func signalParts(all []xds.Class) []string {
	var order []string
	kinds := map[string][]string{}
	for _, c := range all {
		limit := limits(c)
		if kinds[limit] == nil {
			order = append(order, limit)
		}
		if !slices.Contains(kinds[limit], string(c.Kind)) {
			kinds[limit] = append(kinds[limit], string(c.Kind))
		}
	}
	var out []string
	for _, limit := range order {
		out = append(out, strings.Join(kinds[limit], ", ")+limit)
	}
	const most = 4
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more", len(order)-most))
	}
	return out
}

// limits are the names that a class is limited to.
func limits(k xds.Class) string {
	s := ""
	for _, l := range []struct {
		word string
		list []string
	}{{" for ", k.Hosts}, {" for hosts other than ", k.HostsNot}, {" with SNI ", k.SNI}, {" with an SNI other than ", k.SNINot}, {" with ALPN ", k.ALPN}, {" with ALPN other than ", k.ALPNNot}} {
		if len(l.list) > 0 {
			s += l.word + few(l.list)
		}
	}
	if k.Guard != "" {
		s += " where " + k.Guard
	}
	return s
}

func few(l []string) string {
	const most = 3
	if len(l) <= most {
		return strings.Join(l, ", ")
	}
	return strings.Join(l[:most], ", ") + " and " + strconv.Itoa(len(l)-most) + " more"
}
