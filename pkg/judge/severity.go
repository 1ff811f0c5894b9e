package judge

import (
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// rule gives a severity to the shifts it holds for. Of the rules below the
// first that holds counts.
type rule struct {
	name     string
	kinds    []xds.EventKind // none = every kind
	when     func(trait) bool
	severity xds.Severity
}

// takes are the kinds that take traffic away from where it went, or let it
// through where it was held.
var takes = []xds.EventKind{xds.EvCapture, xds.EvDeadCapture, xds.EvOpened, xds.EvClosed}

// severities is the whole table.
var severities = []rule{
	{"a watched destination", nil, func(t trait) bool { return t.watched && t.kind != xds.EvRevived }, xds.Critical},
	{"good news, or nothing known", []xds.EventKind{xds.EvRelease, xds.EvRevived, xds.EvUnsure}, always, xds.Info},
	{"endpoints come and go", []xds.EventKind{xds.EvDead}, func(t trait) bool { return t.endpointsOnly }, xds.Info},
	{"everything is refused", []xds.EventKind{xds.EvDead, xds.EvDeadCapture}, func(t trait) bool { return t.extent == wide && t.shift.After.Kind == xds.Refused }, xds.Critical},
	{"the way is broken, not only its end", []xds.EventKind{xds.EvDead}, always, xds.High},
	{"the same address as before, unchanged on the wire", []xds.EventKind{xds.EvCapture}, harmless, xds.Info},
	{"addresses that Istio made up", nil, func(t trait) bool { return onlyAutoAllocated(t.shift.Cells) }, xds.Info},
	{"what its owner declares", nil, func(t trait) bool { return t.extent == declared }, xds.Low},

	{"most of the address space", takes, isWide, xds.Critical},
	{"a server that speaks first is not heard", []xds.EventKind{xds.EvStalled}, func(t trait) bool { return t.extent == wide && serverFirst(t.ports) }, xds.Critical},
	{"a network", takes, func(t trait) bool { return t.extent == network }, xds.High},
	{"a network of servers that speak first", []xds.EventKind{xds.EvStalled}, func(t trait) bool { return t.extent == network && serverFirst(t.ports) }, xds.High},
	{"single addresses that nobody declared", takes, always, xds.Medium},
	{"single servers that speak first", []xds.EventKind{xds.EvStalled}, func(t trait) bool { return serverFirst(t.ports) }, xds.Medium},
	{"a whole port goes elsewhere", []xds.EventKind{xds.EvRetarget}, isWide, xds.Medium},
	{"a whole port is read first", []xds.EventKind{xds.EvInspected}, func(t trait) bool { return t.extent == wide && serverFirst(t.ports) }, xds.Medium},
	{"the rest", nil, always, xds.Low},
}

func severityOf(t trait) xds.Severity { return severityRule(t).severity }

func severityRule(t trait) rule {
	for _, r := range severities {
		if (len(r.kinds) == 0 || slices.Contains(r.kinds, t.kind)) && r.when(t) {
			return r
		}
	}
	return rule{name: "no rule", severity: xds.Low}
}

func always(trait) bool { return true }

func isWide(t trait) bool { return t.extent == wide }

// harmless: a service that sends a connection on to the address it was made
// to, on the same port and without TLS, is seen in telemetry only.
func harmless(t trait) bool {
	a := t.shift.After
	return a.Target == "original-dst" && a.PortOverride == 0 && a.Transport == ""
}

// serverFirstPorts are ports on which usually the server greets and the client
// waits: an inspector on one of them is an outage.
var serverFirstPorts = []int{
	13, 21, 22, 23, 25, 110, 119, 143, 587, // daytime, ftp, ssh, telnet, smtp, pop3, nntp, imap, submission
	1433, 2525, 3306, 3690, 4190, 4222, 5900, // sql server, smtp, mysql, svn, sieve, nats, vnc
	6222, 33060, // nats, mysql x
}

func serverFirst(p portSet) bool { return slices.ContainsFunc(serverFirstPorts, p.has) }
