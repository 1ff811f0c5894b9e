package traffic

import (
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	lratev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/local_ratelimit/v3"
	origdstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	origsrcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"
	proxyprotov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// filterKind is what a listener filter does, as far as it counts here.
type filterKind int

const (
	filterNeutral filterKind = iota
	filterTLS
	filterHTTP
	filterOriginalDst
	filterProxyProtocol
	filterUnknown
)

// listenerFilter is a compiled listener filter.
type listenerFilter struct {
	name     string
	kind     filterKind
	limit    int            // filterTLS: size of a ClientHello that is still read
	disabled *portPredicate // nil: never
}

// Listener filters that Istio up to 1.7 and plain Envoy configurations give by
// name alone (source/extensions/filters/listener/well_known_names.h, now gone;
// envoy.* names without a prefix are the deprecated ones).
var filterNames = map[string]filterKind{
	"envoy.listener.tls_inspector": filterTLS, "envoy.filters.listener.tls_inspector": filterTLS,
	"envoy.listener.http_inspector": filterHTTP, "envoy.filters.listener.http_inspector": filterHTTP,
	"envoy.listener.original_dst": filterOriginalDst, "envoy.filters.listener.original_dst": filterOriginalDst,
	"envoy.listener.original_src": filterNeutral, "envoy.filters.listener.original_src": filterNeutral,
	"envoy.listener.proxy_protocol": filterProxyProtocol, "envoy.filters.listener.proxy_protocol": filterProxyProtocol,
}

func (l *listener) listenerFilters(m *listenerv3.Listener) {
	for _, f := range m.GetListenerFilters() {
		l.filters = append(l.filters, compileListenerFilter(f))
	}
	for _, f := range l.filters {
		l.restores = l.restores || f.kind == filterOriginalDst || f.kind == filterProxyProtocol
	}
	// use_original_dst implies an original_dst filter (listener_impl.cc).
	l.restores = l.restores || m.GetUseOriginalDst().GetValue()
}

func compileListenerFilter(f *listenerv3.ListenerFilter) listenerFilter {
	out := listenerFilter{name: f.GetName(), limit: maxHello, disabled: newPredicate(f.GetFilterDisabled())}
	a := f.GetTypedConfig()
	if a == nil {
		if f.GetConfigDiscovery() != nil {
			out.kind = filterUnknown
			return out
		}
		k, ok := filterNames[f.GetName()]
		if !ok {
			k = filterUnknown
		}
		out.kind = k
		return out
	}
	m, err := decode.Any(a)
	if err != nil {
		out.kind = filterUnknown
		return out
	}
	switch m := m.(type) {
	case *tlsinspv3.TlsInspector:
		out.kind = filterTLS
		if n := m.GetMaxClientHelloSize().GetValue(); n > 0 && n < maxHello {
			out.limit = int(n)
		}
	case *httpinspv3.HttpInspector:
		out.kind = filterHTTP
	case *origdstv3.OriginalDst:
		out.kind = filterOriginalDst
	case *proxyprotov3.ProxyProtocol:
		out.kind = filterProxyProtocol
	case *origsrcv3.OriginalSrc, *lratev3.LocalRateLimit:
		out.kind = filterNeutral
	default:
		out.kind = filterByName(f, a.GetTypeUrl())
	}
	return out
}

// filterByName covers an empty message (some tools write google.protobuf.Empty
// or Struct) under a name that says it all.
func filterByName(f *listenerv3.ListenerFilter, url string) filterKind {
	switch decode.TypeName(url) {
	case "google.protobuf.Empty", "google.protobuf.Struct":
		if k, ok := filterNames[f.GetName()]; ok {
			return k
		}
	}
	return filterUnknown
}

// portPredicate is a ListenerFilterChainMatchPredicate. unknown makes the filter's
// presence a matter that is not evaluated.
type portPredicate struct {
	any, all   []*portPredicate
	not        *portPredicate
	always     bool
	start, end int32
	unknown    bool
}

func newPredicate(m *listenerv3.ListenerFilterChainMatchPredicate) *portPredicate {
	if m == nil {
		return nil
	}
	p := &portPredicate{}
	switch r := m.GetRule().(type) {
	case *listenerv3.ListenerFilterChainMatchPredicate_OrMatch:
		p.any = predicates(r.OrMatch)
	case *listenerv3.ListenerFilterChainMatchPredicate_AndMatch:
		p.all = predicates(r.AndMatch)
	case *listenerv3.ListenerFilterChainMatchPredicate_NotMatch:
		p.not = newPredicate(r.NotMatch)
	case *listenerv3.ListenerFilterChainMatchPredicate_AnyMatch:
		p.always = true
	case *listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange:
		p.start, p.end = r.DestinationPortRange.GetStart(), r.DestinationPortRange.GetEnd()
	default:
		p.unknown = true
	}
	return p
}

func predicates(s *listenerv3.ListenerFilterChainMatchPredicate_MatchSet) []*portPredicate {
	out := []*portPredicate{}
	for _, r := range s.GetRules() {
		out = append(out, newPredicate(r))
	}
	return out
}

// matches evaluates p for a destination port; the end of a range is exclusive.
func (p *portPredicate) matches(port uint16) bool {
	switch {
	case p == nil:
		return false
	case p.any != nil:
		for _, q := range p.any {
			if q.matches(port) {
				return true
			}
		}
		return false
	case p.all != nil:
		for _, q := range p.all {
			if !q.matches(port) {
				return false
			}
		}
		return true
	case p.not != nil:
		return !p.not.matches(port)
	}
	return p.always || p.start <= int32(port) && int32(port) < p.end
}

// hasUnknown reports a rule kind that is not known.
func (p *portPredicate) hasUnknown() bool {
	if p == nil {
		return false
	}
	for _, q := range append(append([]*portPredicate{p.not}, p.any...), p.all...) {
		if q.hasUnknown() {
			return true
		}
	}
	return p.unknown
}

// ranges adds the ports at which p may change to out, as [start,end).
func (p *portPredicate) ranges(out [][2]int32) [][2]int32 {
	if p == nil {
		return out
	}
	for _, q := range append(append([]*portPredicate{p.not}, p.any...), p.all...) {
		out = q.ranges(out)
	}
	if p.end > p.start {
		out = append(out, [2]int32{p.start, p.end})
	}
	return out
}

// inspected is what the listener filters found out about a connection.
type inspected struct {
	transport string // "" = nothing said
	sni       string
	alpn      []string
	inspected bool     // an inspector ran
	cut       bool     // the timeout came, and what is behind that filter did not run
	lost      bool     // before the destination was restored
	end       progress // decided, waiting (for ever), closing, unclear
	why       string   // for an end other than decided
}

// inspect runs l's filters over a first flight, adding to what an earlier
// listener (the one that handed the connection off) found.
//
// What disables a filter asks for the port of the socket, which is the restored
// one only after an original_dst filter: the one that use_original_dst implies
// comes last (ListenerImpl::buildOriginalDstListenerFilter).
func (l *listener) inspect(in inspected, f *flight, port, restored uint16) inspected {
	for _, lf := range l.filters {
		if lf.disabled.hasUnknown() {
			in.end, in.why = unclear, "listener filter "+lf.name+" is disabled by a rule that is not known"
			return in
		}
		if lf.disabled.matches(port) {
			continue
		}
		if lf.kind == filterOriginalDst {
			port = restored
		}
		st := in.run(lf, f)
		if st == decided {
			continue
		}
		in.end = st
		if st == waiting {
			return l.expire(in, lf)
		}
		return in
	}
	return in
}

// expire says what the timeout makes of a filter that waits.
func (l *listener) expire(in inspected, lf listenerFilter) inspected {
	switch {
	case l.timeout == 0:
		in.why = lf.name + " waits for bytes, without a timeout"
	case l.proceeds:
		in.end, in.cut = decided, true
	case l.timeout >= patience:
		in.end, in.why = unclear, lf.name+" waits "+l.timeout.String()+" for bytes and closes then: a stall or a close, by who gives up first"
	default:
		in.end, in.why = closing, lf.name+" waits for bytes until the timeout closes the connection"
	}
	return in
}

// patience is how long a client is taken to wait: a timeout that ends a
// connection later is neither a plain close nor a stall.
const patience = 1500 * time.Millisecond

// lost reports that the timeout came before the destination was restored: the filter
// that use_original_dst implies is the last one, so only one that stands before the
// inspectors has done it (ActiveTcpSocket::onTimeout in
// source/common/listener_manager/active_tcp_socket.cc).
func (l *listener) lost(in inspected, port uint16) bool {
	if !in.cut {
		return false
	}
	for _, lf := range l.filters {
		switch {
		case lf.disabled.matches(port):
		case lf.kind == filterOriginalDst:
			return false
		case lf.kind == filterTLS || lf.kind == filterHTTP:
			return true
		}
	}
	return true
}

func (in *inspected) run(lf listenerFilter, f *flight) progress {
	switch lf.kind {
	case filterTLS:
		return in.runTLS(lf, f)
	case filterHTTP:
		return in.runHTTP(lf, f)
	case filterUnknown:
		in.why = "listener filter " + lf.name + " is not evaluated"
		return unclear
	}
	return decided
}

func (in *inspected) runTLS(lf listenerFilter, f *flight) progress {
	in.inspected = true
	h, st := f.tlsState(lf.limit)
	if st == decided && h != nil {
		in.transport, in.sni, in.alpn = "tls", h.sni, h.alpn
	}
	if st != decided {
		in.why = lf.name + " cannot read the ClientHello"
	}
	return st
}

// runHTTP skips connections that are known to be something else than raw.
func (in *inspected) runHTTP(lf listenerFilter, f *flight) progress {
	second := in.inspected
	in.inspected = true
	if in.transport != "" && in.transport != "raw_buffer" {
		return decided
	}
	proto, st := f.httpState()
	if st == decided && proto != "" {
		in.alpn = []string{proto}
	}
	switch {
	case st == closing && second:
		// How many bytes it gets to see depends on the inspector before it.
		st = unclear
		fallthrough
	case st == closing:
		in.why = lf.name + ": the request line is too long"
	case st == unclear:
		in.why = lf.name + ": what it makes of the begin of a line varies from run to run"
	}
	return st
}
