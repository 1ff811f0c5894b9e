package traffic

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// points of an HTTP connection manager: its virtual hosts, and what its filters ask.
func (h *hcm) points(v *View, f *facets) {
	f.http = true
	for _, hf := range h.filters {
		if hf.rbac != nil {
			*f = union(*f, hf.rbac.pts)
		}
	}
	rc, _ := v.routesOf(h)
	if rc == nil {
		return
	}
	for _, vh := range rc.hosts {
		f.hosts = append(f.hosts, vh.facet())
	}
}

func (vh *virtualHost) facet() hostFacet {
	out := hostFacet{}
	for _, d := range vh.domains {
		if d == "*" {
			out.all = true
			continue
		}
		out.domains = append(out.domains, d)
	}
	for _, r := range vh.routes {
		out.guards = append(out.guards, r.match.guard())
	}
	return out
}

// guard describes the match, and makes a request that meets it.
func (r *routeMatch) guard() guard {
	g := guard{text: r.String(), path: "/"}
	g.every = r.kind == pathPrefix && r.path == "/" && len(r.headers)+len(r.query)+len(r.cookies) == 0 && !r.grpc && r.share == alwaysMatch && r.unsure == ""
	switch r.kind {
	case pathPrefix, pathExact, pathSeparated:
		g.path = r.path
	case pathRegex:
		g.path, _ = regexExample(r.path)
	case pathTemplate:
		expr, _ := templateRegex(r.path)
		g.path, _ = regexExample(expr)
	case pathConnect:
		g.method, g.path = "CONNECT", ""
	}
	if !strings.HasPrefix(g.path, "/") && g.method == "" {
		g.path = "/" + g.path
	}
	g.addHeaders(r)
	g.addQuery(r)
	g.opaque = !g.meets(r)
	return g
}

func (g *guard) addHeaders(r *routeMatch) {
	set := func(k, v string) {
		if g.headers == nil {
			g.headers = map[string]string{}
		}
		g.headers[k] = v
	}
	if r.grpc {
		set("content-type", "application/grpc")
	}
	for _, h := range r.headers {
		switch {
		case h.name == ":method" && h.hasEx && !h.invert:
			g.method = h.example
		case strings.HasPrefix(h.name, ":"):
		case h.match == nil && h.present != h.invert:
			set(h.name, "1")
		case h.match != nil && h.invert:
			set(h.name, "not-"+h.example)
		case h.hasEx:
			set(h.name, h.example)
		}
	}
	for _, c := range r.cookies {
		set("cookie", c.name+"="+c.example)
	}
}

func (g *guard) addQuery(r *routeMatch) {
	sep := "?"
	for _, q := range r.query {
		if q.match == nil && !q.present {
			continue
		}
		g.path += sep + q.name + "=" + q.example
		sep = "&"
	}
}

// meets checks the request that was made.
func (g *guard) meets(r *routeMatch) bool {
	q := &request{method: cmp.Or(g.method, "GET"), path: g.path, headers: map[string]string{}}
	for k, v := range g.headers {
		q.headers[k] = v
	}
	a := r.matches(q, false)
	return a.yes
}

// String shows the conditions of a route.
func (r *routeMatch) String() string {
	kinds := [...]string{"", "path prefix ", "path ", "path below ", "path ~ ", "CONNECT", "path template "}
	out := []string{kinds[r.kind] + r.path}
	for _, h := range r.headers {
		out = append(out, h.text)
	}
	for _, q := range r.query {
		out = append(out, "query "+q.name)
	}
	for _, c := range r.cookies {
		out = append(out, "cookie "+c.name)
	}
	if r.grpc {
		out = append(out, "grpc")
	}
	if r.share != alwaysMatch {
		out = append(out, "a share of requests")
	}
	return strings.Join(out, ", ")
}

// union holds the points of both.
func union(a, b facets) facets {
	out := facets{http: a.http || b.http, anySNI: a.anySNI || b.anySNI, opaque: a.opaque || b.opaque}
	out.ports = join(a.ports, b.ports)
	out.ranges = join(a.ranges, b.ranges)
	out.prefixes = join(a.prefixes, b.prefixes)
	out.snis = join(a.snis, b.snis)
	out.alpns = join(a.alpns, b.alpns)
	out.hosts = join(a.hosts, b.hosts)
	return out.canonical()
}

func join[T any](a, b []T) []T { return append(a[:len(a):len(a)], b...) }

// canonical sorts and removes what is double.
func (f facets) canonical() facets {
	slices.Sort(f.ports)
	f.ports = slices.Compact(f.ports)
	slices.SortFunc(f.ranges, func(a, b [2]int32) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	f.ranges = slices.Compact(f.ranges)
	slices.SortFunc(f.prefixes, netip.Prefix.Compare)
	f.prefixes = slices.Compact(f.prefixes)
	slices.Sort(f.snis)
	f.snis = slices.DeleteFunc(slices.Compact(f.snis), func(s string) bool { return s == "" })
	slices.Sort(f.alpns)
	f.alpns = slices.Compact(f.alpns)
	return f
}
