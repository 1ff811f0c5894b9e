package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// api is the version under which every Istio from 1.5 on knows these objects.
const api = "networking.istio.io/v1beta1"

func addressesOnEntry(s situation) xds.Remedy {
	addr, comment := s.serviceAddress()
	why := fmt.Sprintf("A TCP entry without addresses owns %s of every destination. With addresses it gets listeners for these alone, and the port passes through again. "+
		"This is for the owners of namespace %s to do; its name is guessed from the host.", portPhrase(s.e.Ports), s.ownerNamespace())
	if s.resolution() == "NONE" {
		why += " Allocated addresses are no way out: an entry with resolution NONE never gets one."
	}
	return xds.Remedy{
		Title: fmt.Sprintf("Give %s addresses", s.object()), Why: why,
		YAML: entry(label(s.owner.Host), s.ownerNamespace(), s.owner.Host, fmt.Sprintf("  addresses:\n  - %q%s\n", addr, comment), s.port, "TCP", s.resolution(), s.keepEndpoints()),
	}
}

// serviceAddress is an address for somebody's own service: that of its first
// endpoint where there is one, else a placeholder that says so.
func (s situation) serviceAddress() (addr, comment string) {
	for _, e := range s.endpoints {
		if ap, err := netip.ParseAddrPort(e.Address); err == nil {
			return ap.Addr().String(), "   # or the address that clients of " + s.owner.Host + " dial"
		}
	}
	return "192.0.2.1", "   # put here the address that clients of " + s.owner.Host + " dial"
}

// keepEndpoints writes down the endpoints that a STATIC entry has, so that
// applying the remedy does not lose them.
func (s situation) keepEndpoints() string {
	const most = 16
	var b strings.Builder
	for i, e := range s.endpoints {
		ap, err := netip.ParseAddrPort(e.Address)
		if err != nil || s.resolution() != "STATIC" || i >= most {
			return ""
		}
		fmt.Fprintf(&b, "  - address: %q\n", ap.Addr())
		if int(ap.Port()) != s.port {
			fmt.Fprintf(&b, "    ports:\n      tcp-%d: %d\n", s.port, ap.Port())
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "  endpoints:   # those it has now\n" + b.String()
}

// resolution is read from the cluster's type, as far as it tells.
func (s situation) resolution() string {
	if s.e.After == nil {
		return "STATIC"
	}
	switch s.e.After.Target {
	case "original-dst":
		return "NONE"
	case "dns":
		return "DNS"
	}
	return "STATIC"
}

func ownEntry(s situation) xds.Remedy {
	return xds.Remedy{
		Title: fmt.Sprintf("Declare your own destination in namespace %s, here %s port %d", s.namespace(), s.addr, s.port),
		Why: fmt.Sprintf("A listener for one address is chosen before the one for the whole port, and it reads no bytes first. With resolution NONE connections go on to %s as they did. "+
			"It needs nobody else. %s; exportTo keeps the entry in your namespace.", s.addr, s.example()),
		YAML: entry(label("own-"+s.addr+fmt.Sprintf("-%d", s.port)), s.namespace(), label(s.addr)+".external", fmt.Sprintf("  addresses:\n  - %q\n", s.addr), s.port, "TCP", "NONE", "  location: MESH_EXTERNAL\n  exportTo:\n  - \".\"\n"),
	}
}

// example says what the address of the event is: one that is watched, or one
// that stands for all.
func (s situation) example() string {
	a, err := netip.ParseAddr(s.addr)
	for _, p := range documentation {
		if err == nil && p.Contains(a) {
			return s.addr + " is an example: put the addresses there that you depend on"
		}
	}
	return "List every address that you depend on"
}

// documentation are the address ranges that stand in examples (RFC 5737, 3849).
var documentation = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
}

func registerEntry(s situation) xds.Remedy {
	r := ownEntry(s)
	r.Title = fmt.Sprintf("Register %s:%d for namespace %s", s.addr, s.port, s.namespace())
	r.Why = fmt.Sprintf("What no service declares is blocked here (outbound policy REGISTRY_ONLY). An entry for %s lets exactly this address through; exportTo keeps it in your namespace.", s.addr)
	return r
}

func entry(name, ns, host, addresses string, port int, protocol, resolution, more string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: ServiceEntry\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  hosts:\n  - %q\n%s  ports:\n  - number: %d\n    name: %s\n    protocol: %s\n  resolution: %s\n%s",
		api, name, ns, host, addresses, max(port, 1), strings.ToLower(protocol)+fmt.Sprintf("-%d", max(port, 1)), protocol, resolution, more)
}

func exportToOwn(s situation) xds.Remedy {
	yaml, where := "spec:\n  exportTo:\n  - \".\"\n", "Add this to its spec."
	if s.owner.Kind == "Service" {
		yaml, where = "metadata:\n  annotations:\n    networking.istio.io/exportTo: \".\"\n", "Add this annotation to it."
	}
	return xds.Remedy{
		Title: fmt.Sprintf("Keep %s inside namespace %s", s.object(), s.ownerNamespace()),
		Why:   fmt.Sprintf("Only sidecars of namespace %s see it then, and your %s is free again. %s", s.ownerNamespace(), portPhrase(s.e.Ports), where),
		YAML:  yaml,
	}
}

func sidecarScope(s situation) xds.Remedy {
	without := ""
	if s.owner.Namespace != "" && s.owner.Namespace != s.node.Namespace {
		without = fmt.Sprintf("; %s is not among them", s.owner.Namespace)
	}
	return xds.Remedy{
		Title: fmt.Sprintf("Limit what sidecars of namespace %s see", s.namespace()),
		Why: fmt.Sprintf("With an egress scope they get the services of the namespaces it lists and of no others%s. List every namespace that your workloads call: what is left out goes back to passthrough. "+
			"A namespace takes one Sidecar without a workloadSelector: extend it where there is one.", without),
		YAML: fmt.Sprintf("apiVersion: %s\nkind: Sidecar\nmetadata:\n  name: default\n  namespace: %s\nspec:\n  egress:\n  - hosts:\n    - \"./*\"\n    - \"istio-system/*\"\n", api, s.namespace()),
	}
}

func dnsCapture(s situation) xds.Remedy {
	return xds.Remedy{
		Title: "Let Istio allocate an address for " + s.owner.Host,
		Why: "A sidecar that answers DNS itself gets an allocated address (240.240.0.0/16) for an entry without one, and a listener for that address alone instead of the whole port. " +
			"It takes effect for pods started with it. It does not help for resolution NONE and for wildcard hosts: these get no address.",
		YAML: "metadata:\n  annotations:\n    proxy.istio.io/config: |\n      proxyMetadata:\n        ISTIO_META_DNS_CAPTURE: \"true\"\n        ISTIO_META_DNS_AUTO_ALLOCATE: \"true\"\n",
	}
}

func excludePort(s situation) xds.Remedy {
	return xds.Remedy{
		Title: fmt.Sprintf("Keep port %d out of Envoy", s.port),
		Why:   fmt.Sprintf("On the pod template of the workload; for pods started with it port %d goes straight out: no capture, but no mutual TLS, routing and telemetry for mesh services on it either.", s.port),
		YAML:  fmt.Sprintf("metadata:\n  annotations:\n    traffic.sidecar.istio.io/excludeOutboundPorts: \"%d\"\n", s.port),
	}
}

func nameProtocol(s situation) xds.Remedy {
	return xds.Remedy{
		Title: fmt.Sprintf("Correct the protocol of %s at %s", portPhrase(s.e.Ports), s.object()),
		Why: fmt.Sprintf("An HTTP port, or one without a protocol, makes Envoy read the first bytes of every connection on %s, whoever it is for. If it is no HTTP, name the port tcp-... (or set appProtocol: tcp) and, "+
			"for a ServiceEntry, give it addresses: a TCP entry without any owns the whole port. If it is HTTP, move it to another port.", portPhrase(s.e.Ports)),
		YAML: fmt.Sprintf("spec:\n  ports:\n  - number: %d   # a Service says port:\n    name: tcp-%d\n    protocol: TCP\n", max(s.port, 1), max(s.port, 1)),
	}
}

func detectionTimeout(situation) xds.Remedy {
	return xds.Remedy{
		Title: "Limit how long Envoy waits for the first bytes",
		Why:   "Mesh-wide setting: after this time a silent connection goes on as plain TCP instead of hanging for ever. Every server-first connection on such a port is late by that much.",
		YAML:  "meshConfig:\n  protocolDetectionTimeout: 1s\n",
	}
}

func allowAny(s situation) xds.Remedy {
	return xds.Remedy{
		Title: fmt.Sprintf("Allow unknown destinations for namespace %s", s.namespace()),
		Why:   "Opens everything for these sidecars, not this destination alone. A namespace takes one Sidecar without a workloadSelector: extend it where there is one.",
		YAML:  fmt.Sprintf("apiVersion: %s\nkind: Sidecar\nmetadata:\n  name: default\n  namespace: %s\nspec:\n  outboundTrafficPolicy:\n    mode: ALLOW_ANY\n", api, s.namespace()),
	}
}

func lookAtEndpoints(s situation) xds.Remedy {
	host := firstOf(s.owner.Host, s.e.After.Cluster)
	r := xds.Remedy{
		Title: "Bring back an endpoint of " + host,
		Why:   fmt.Sprintf("The cluster is there, but no usable endpoint is. Look at the pods and at readiness: kubectl get endpointslices -n %s -l kubernetes.io/service-name=%s", s.ownerNamespace(), firstOf(s.owner.Name, firstLabel(host))),
	}
	if isEntry(s) {
		r.Why = fmt.Sprintf("The cluster is there, but no usable endpoint is. Look at endpoints and workloadSelector of %s in namespace %s, and at the WorkloadEntries it selects: kubectl get serviceentry,workloadentry -n %s", s.object(), s.ownerNamespace(), s.ownerNamespace())
	}
	return r
}

func firstLabel(host string) string {
	h, _, _ := strings.Cut(host, ".")
	return h
}

func missingCluster(s situation) xds.Remedy {
	p := strings.Split(s.e.After.Cluster, "|")
	if len(p) == 4 && p[2] != "" {
		return xds.Remedy{
			Title: fmt.Sprintf("Define subset %s of %s", p[2], p[3]),
			Why:   fmt.Sprintf("A route points at cluster %s, which was not sent: the subset has no DestinationRule that the sidecar sees. Merge this into the rule of the host.", s.e.After.Cluster),
			YAML:  fmt.Sprintf("apiVersion: %s\nkind: DestinationRule\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  host: %s\n  subsets:\n  - name: %s\n    labels:\n      version: %s\n", api, label(p[3]), s.ownerNamespace(), p[3], p[2], p[2]),
		}
	}
	return xds.Remedy{
		Title: "Bring back the service behind " + s.e.After.Cluster,
		Why:   fmt.Sprintf("Something still routes to cluster %s, which the sidecar does not have: the service is deleted, not exported to namespace %s, or outside its Sidecar scope. Restore it, or take it out of the VirtualService that names it.", s.e.After.Cluster, s.namespace()),
	}
}

func restoreOwner(s situation) xds.Remedy {
	why := "What sent this traffic somewhere is gone from the sidecar's configuration: the object was deleted or changed, is no longer exported"
	if s.node.Namespace != "" {
		why += " to namespace " + s.node.Namespace
	}
	return xds.Remedy{Title: "If this was not meant, apply " + firstOf(ownerName(s.e.Owner), "the object") + " again", Why: why + ", or is outside its Sidecar scope."}
}

func keepApart(s situation) xds.Remedy {
	return xds.Remedy{
		Title: fmt.Sprintf("Give the services on %s addresses of their own", portPhrase(s.e.Ports)),
		Why: fmt.Sprintf("%s and %s compete for the same destinations; the older one wins, and which that is can change. With addresses, another port, or exportTo \".\" on one of them, they no longer meet.",
			clusters(*s.e.Before), clusters(*s.e.After)),
	}
}

func transportPolicy(s situation) xds.Remedy {
	return xds.Remedy{
		Title: "Check the TLS settings for " + firstOf(s.owner.Host, s.owner.Name),
		Why:   fmt.Sprintf("The same endpoints are called with %s instead of %s now: a DestinationRule (trafficPolicy.tls) or a PeerAuthentication changed, or endpoints gained or lost their sidecar. kubectl get destinationrule,peerauthentication -A", dress(*s.e.After), dress(*s.e.Before)),
	}
}

func tellMore(s situation) xds.Remedy {
	return xds.Remedy{
		Title: "Give xdsproxy what it lacks",
		Why:   fmt.Sprintf("Where the traffic goes depends on something that is not in the recorded configuration (%s). A config_dump of the sidecar's Envoy holds its bootstrap and live resources: xdsproxy import it, or ask resolve --file with it.", firstOf(s.e.After.Reason, "no reason given")),
	}
}

func steadyEndpoints(s situation) xds.Remedy {
	return xds.Remedy{
		Title: "Find out why the endpoints of " + firstOf(s.owner.Host, s.e.After.Cluster) + " come and go",
		Why:   fmt.Sprintf("Readiness that flips, a rollout that loops, or two control planes that disagree give this picture: kubectl get endpointslices,events -n %s --watch", s.ownerNamespace()),
	}
}

func repairRejected(s situation) xds.Remedy {
	why := fmt.Sprintf("Envoy says: %s. It keeps what it had; after a restart it would start without. ", strings.TrimSuffix(firstLine(s.e.Message), "."))
	if slices.Contains([]string{xds.ListenerType, xds.ClusterType, xds.RouteType}, xds.Canonical(s.resource().Type)) {
		why += "Usually this is an EnvoyFilter (kubectl get envoyfilter -A), or two objects that claim the same address or domain. "
	}
	return xds.Remedy{
		Title: "Repair what makes " + firstOf(s.resource().Name, "this push") + " invalid",
		Why:   why + "What the push brought: " + s.diffCommand(),
	}
}

// diffCommand shows what the event's push offered.
func (s situation) diffCommand() string {
	n, err := strconv.Atoi(strings.TrimPrefix(s.e.Push, "#"))
	if err != nil || n < 1 {
		return "xdsproxy log " + s.e.Sidecar
	}
	return fmt.Sprintf("xdsproxy diff --offered %s %d..%d", s.e.Sidecar, n-1, n)
}

func lookAtWarming(situation) xds.Remedy {
	return xds.Remedy{
		Title: "See what the sidecar waits for",
		Why:   "Envoy answers late while a cluster or listener of the push waits for its endpoints, routes or certificates. In the pod: pilot-agent request GET stats | grep warming",
	}
}

func lookAtControlPlane(situation) xds.Remedy {
	return xds.Remedy{
		Title: "Bring the sidecar back to its control plane",
		Why:   "It keeps working with what it has and learns nothing new. Look at istiod (kubectl get pods -n istio-system), at the agent's log in the pod, and at network policies between them.",
	}
}

func healGap(situation) xds.Remedy {
	return xds.Remedy{
		Title: "Nothing to do for traffic",
		Why:   "Nothing was withheld from the sidecar; only the record is incomplete. State of the world streams heal with the next push of the type, Delta ones with the next reconnect. Until then answers carry this as uncertain.",
	}
}
