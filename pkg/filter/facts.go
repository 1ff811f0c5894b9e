package filter

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Facts is what there is to know of one thing that is filtered: a push, an event,
// a stored version. A key that finds no fact of its kind does not fit.
type Facts struct {
	Types      []string // type URLs
	Names      []string // of resources
	Ports      []Ports
	Addresses  []Addresses
	Hosts      []string // of services
	Kinds      []xds.EventKind
	Severities []xds.Severity
	Sidecars   []string // as displayed
	Namespaces []string // of the sidecars
	Causes     []string // objects, users and tools
}

// Ports is a range, both ends in it.
type Ports struct{ First, Last uint16 }

// Addresses is a set: what is in one of In, but in none of Except.
type Addresses struct{ In, Except []netip.Prefix }

// And adds what is known from elsewhere about the same thing.
func (f Facts) And(g Facts) Facts {
	return Facts{
		Types: both(f.Types, g.Types), Names: both(f.Names, g.Names), Ports: both(f.Ports, g.Ports),
		Addresses: both(f.Addresses, g.Addresses), Hosts: both(f.Hosts, g.Hosts), Kinds: both(f.Kinds, g.Kinds),
		Severities: both(f.Severities, g.Severities), Sidecars: both(f.Sidecars, g.Sidecars),
		Namespaces: both(f.Namespaces, g.Namespaces), Causes: both(f.Causes, g.Causes),
	}
}

func both[T any](a, b []T) []T { return append(slices.Clip(a), b...) }

// Resource adds the facts of a resource: its type and name, and the port, address
// and host that Istio writes into the names of listeners and clusters.
func (f *Facts) Resource(typeURL, name string) {
	f.Types = append(f.Types, typeURL)
	f.name(name)
}

// name adds a name and what it tells.
func (f *Facts) name(name string) {
	if name == "" {
		return
	}
	f.Names = append(f.Names, name)
	if host, port, ok := ofCluster(name); ok {
		f.Hosts = append(f.Hosts, host)
		f.port(port)
	} else if addr, port, ok := ofListener(name); ok {
		f.Addresses = append(f.Addresses, Addresses{In: []netip.Prefix{onePrefix(addr)}})
		f.port(port)
	}
}

func (f *Facts) port(s string) {
	if p, err := strconv.ParseUint(s, 10, 16); err == nil {
		f.Ports = append(f.Ports, Ports{uint16(p), uint16(p)})
	}
}

// ofCluster takes outbound|3306|subset|host apart (Istio:
// pilot/pkg/model/push_context.go, BuildSubsetKey).
func ofCluster(name string) (host, port string, ok bool) {
	p := strings.Split(name, "|")
	if len(p) != 4 {
		return "", "", false
	}
	return p[3], p[1], p[3] != ""
}

// ofListener takes 10.0.0.1_3306 apart (Istio:
// pilot/pkg/networking/core/listener.go, getListenerName).
func ofListener(name string) (netip.Addr, string, bool) {
	i := strings.LastIndexByte(name, '_')
	if i < 0 {
		return netip.Addr{}, "", false
	}
	addr, err := netip.ParseAddr(name[:i])
	return addr, name[i+1:], err == nil
}

func onePrefix(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}
