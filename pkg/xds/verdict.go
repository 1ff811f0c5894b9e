package xds

// VerdictKind is where a connection ends. The specification of each kind is
// docs/explanation/capture.md.
type VerdictKind string

// The verdict kinds.
const (
	Passthrough    VerdictKind = "passthrough"
	Blocked        VerdictKind = "blocked"
	Service        VerdictKind = "service"
	NoEndpoints    VerdictKind = "no-endpoints"
	NoCluster      VerdictKind = "no-cluster"
	NoChain        VerdictKind = "no-chain"
	NoRoute        VerdictKind = "no-route"
	Stall          VerdictKind = "stall"
	LocalReply     VerdictKind = "local-reply"
	Refused        VerdictKind = "refused"
	Pending        VerdictKind = "pending"
	Tunnel         VerdictKind = "tunnel"
	Unknown        VerdictKind = "unknown"
	NotIntercepted VerdictKind = "not-intercepted"
)

// SignalKind is what a client says first.
type SignalKind string

// The signal kinds.
const (
	ServerFirst SignalKind = "server-first"
	Bytes       SignalKind = "bytes" // at least 5 bytes that are no protocol
	HTTP10      SignalKind = "http/1.0"
	HTTP11      SignalKind = "http/1.1"
	H2C         SignalKind = "h2c"
	TLS         SignalKind = "tls"
)

// SignalKinds lists them in the order of display.
var SignalKinds = []SignalKind{ServerFirst, Bytes, HTTP10, HTTP11, H2C, TLS}

// Signal is what one client says first, in full.
type Signal struct {
	Kind    SignalKind        `json:"kind"`
	Host    string            `json:"host,omitempty"`
	Path    string            `json:"path,omitempty"`
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	SNI     string            `json:"sni,omitempty"`
	ALPN    []string          `json:"alpn,omitempty"`
	Hex     string            `json:"hex,omitempty"` // an exact first flight, hex
	Pad     int               `json:"pad,omitempty"` // so many "a" after Hex
}

// Class is a set of signals that a listener treats alike. Empty lists restrict
// nothing; a list and its Not list are never both set.
type Class struct {
	Kind     SignalKind `json:"kind"`
	SNI      []string   `json:"sni,omitempty"`
	SNINot   []string   `json:"sniNot,omitempty"`
	ALPN     []string   `json:"alpn,omitempty"`
	ALPNNot  []string   `json:"alpnNot,omitempty"`
	Hosts    []string   `json:"hosts,omitempty"`
	HostsNot []string   `json:"hostsNot,omitempty"`
	Guard    string     `json:"guard,omitempty"` // further conditions of a route, as text
}

// WeightedCluster is one leg of a split.
type WeightedCluster struct {
	Name   string `json:"name"`
	Weight uint32 `json:"weight"`
}

// Endpoint is an address that Envoy would dial.
type Endpoint struct {
	Address string `json:"address"`          // ip:port, host:port for dns
	Health  string `json:"health,omitempty"` // healthy, degraded, unhealthy
	Weight  uint32 `json:"weight,omitempty"`
}

// Verdict is where Envoy sends a connection, and why.
type Verdict struct {
	Class        *Class            `json:"class,omitempty"`
	Kind         VerdictKind       `json:"kind"`
	Reason       string            `json:"reason,omitempty"`
	Inspection   string            `json:"inspection,omitempty"` // passthrough: none, sniffed, http
	Target       string            `json:"target,omitempty"`     // service: endpoints, original-dst, dns, dynamic
	Status       int               `json:"status,omitempty"`     // local-reply
	Cluster      string            `json:"cluster,omitempty"`
	Clusters     []WeightedCluster `json:"clusters,omitempty"`
	PortOverride uint32            `json:"portOverride,omitempty"`
	Transport    string            `json:"transport,omitempty"` // mtls, tls; "" = raw
	Listener     string            `json:"listener,omitempty"`
	Path         []string          `json:"path,omitempty"`
	Endpoints    []Endpoint        `json:"endpoints"`
	Attributes   []string          `json:"attributes,omitempty"` // may-limit, stateful-session
}

// Usable reports whether traffic with this verdict gets somewhere.
func (v Verdict) Usable() bool {
	switch v.Kind {
	case Passthrough, Service, Tunnel, LocalReply, NotIntercepted:
		return true
	}
	return false
}

// Same reports whether two verdicts are equal in what counts for a shift: kind,
// clusters, weights, transport, port override, target kind and usability.
// Endpoints that move inside a usable cluster are a change, not a shift.
func (v Verdict) Same(w Verdict) bool {
	if v.Kind != w.Kind || v.Inspection != w.Inspection || v.Target != w.Target || v.Status != w.Status ||
		v.Cluster != w.Cluster || v.PortOverride != w.PortOverride || v.Transport != w.Transport || len(v.Clusters) != len(w.Clusters) {
		return false
	}
	for i, c := range v.Clusters {
		if c != w.Clusters[i] {
			return false
		}
	}
	return true
}
