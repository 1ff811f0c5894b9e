package filter

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// OfEvent is what an event tells. The namespace of its sidecar is read from the
// form pod.namespace.
func OfEvent(e xds.Event) Facts {
	f := Facts{Kinds: []xds.EventKind{e.Kind}, Severities: []xds.Severity{e.Severity}}
	f.Sidecar(e.Sidecar)
	if e.Resource != nil {
		f.Resource(e.Resource.Type, e.Resource.Name)
	}
	f.side(e.Before)
	f.side(e.After)
	f.Ports = append(f.Ports, parsePorts(e.Ports)...)
	for _, c := range e.Cells {
		f.Ports = append(f.Ports, parsePorts(c.Ports)...)
		f.Addresses = append(f.Addresses, Addresses{In: prefixes(c.Destinations), Except: prefixes(c.Except)})
	}
	f.who(e.Owner, e.Cause)
	return f
}

// Sidecar adds a sidecar as it is displayed: pod.namespace, perhaps /cluster.
func (f *Facts) Sidecar(name string) {
	f.Sidecars = append(f.Sidecars, name)
	pod, _, _ := strings.Cut(name, "/")
	if i := strings.LastIndexByte(pod, '.'); i >= 0 {
		f.Namespaces = append(f.Namespaces, pod[i+1:])
	}
}

// side adds the clusters and the listener of one end of an event. The ports of
// their names are left out: a capture of port 80 may lead to a cluster of 8080.
func (f *Facts) side(s *xds.Side) {
	if s == nil {
		return
	}
	for _, n := range append([]string{s.Cluster, s.Listener}, clusterNames(s.Clusters)...) {
		if n != "" {
			f.Names = append(f.Names, n)
		}
		if host, _, ok := ofCluster(n); ok {
			f.Hosts = append(f.Hosts, host)
		}
	}
}

func clusterNames(cs []xds.WeightedCluster) []string {
	var out []string
	for _, c := range cs {
		out = append(out, c.Name)
	}
	return out
}

// who adds the owner (Kind/namespace/name, as causes write objects) and the cause.
func (f *Facts) who(o *xds.Owner, c *xds.Cause) {
	if o != nil && o.Host != "" {
		f.Hosts = append(f.Hosts, o.Host)
	}
	if o != nil {
		name := o.Name
		if name == "" {
			name = o.Host
		}
		f.Causes = append(f.Causes, o.Kind+"/"+o.Namespace+"/"+name)
	}
	if c != nil {
		f.Causes = append(f.Causes, c.Object, c.User, c.Tool)
	}
}

// parsePorts reads "3306", "1-3305,3307-65535" and "*".
func parsePorts(s string) []Ports {
	if s == "*" {
		return []Ports{{1, 65535}}
	}
	var out []Ports
	for _, part := range strings.Split(s, ",") {
		lo, hi, ok := strings.Cut(part, "-")
		if !ok {
			hi = lo
		}
		a, err := strconv.ParseUint(lo, 10, 16)
		b, err2 := strconv.ParseUint(hi, 10, 16)
		if err == nil && err2 == nil {
			out = append(out, Ports{uint16(a), uint16(b)})
		}
	}
	return out
}

func prefixes(texts []string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		if p, err := netip.ParsePrefix(t); err == nil {
			out = append(out, p)
		}
	}
	return out
}
