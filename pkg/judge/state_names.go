package judge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// use is a cluster that traffic may be sent to, and what leads there.
type use struct {
	cluster string
	by      []xds.Resource // listeners, and routes that listeners use
	ports   portSet
}

// uses lists the clusters that listeners and the routes they use name, by name.
func (c *stateCheck) uses() []use {
	byName := map[string]*use{}
	for name, d := range c.Snapshot.All(xds.ListenerType) {
		ports := c.portsOf(d)
		for _, to := range c.clustersOf(d) {
			if to.by.Name == "" {
				to.by = xds.Resource{Type: xds.ListenerType, Name: name}
			}
			note(byName, to.cluster, to.by, ports)
		}
	}
	var out []use
	for _, u := range byName {
		u.ports = u.ports.normal()
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b use) int { return strings.Compare(a.cluster, b.cluster) })
	return out
}

// lead is a cluster that a listener names, itself (by is zero) or by a route.
type lead struct {
	cluster string
	by      xds.Resource
}

func (c *stateCheck) clustersOf(listener xds.Digest) []lead {
	var out []lead
	for _, r := range c.Refs(xds.ListenerType, listener) {
		if r.Type == xds.ClusterType {
			out = append(out, lead{cluster: r.Name})
			continue
		}
		if d, ok := c.Snapshot.Lookup(r.Type, r.Name); ok {
			for _, to := range c.Refs(r.Type, d) {
				out = append(out, lead{to.Name, xds.Resource{Type: r.Type, Name: r.Name}})
			}
		}
	}
	return out
}

func note(uses map[string]*use, cluster string, by xds.Resource, ports portSet) {
	u := uses[cluster]
	if u == nil {
		u = &use{cluster: cluster}
		uses[cluster] = u
	}
	if !slices.Contains(u.by, by) {
		u.by = append(u.by, by)
	}
	u.ports = append(u.ports, ports...)
}

func (c *stateCheck) portsOf(listener xds.Digest) portSet {
	l, err := decode.As[*listenerv3.Listener](c.Cache, listener)
	if err != nil || ownBusiness(l) { // these are for many ports, of which theirs is none
		return nil
	}
	return parsePorts(strconv.Itoa(int(l.GetAddress().GetSocketAddress().GetPortValue())))
}

// way says what leads to a cluster.
func (u use) way() string {
	s := xds.ShortType(u.by[0].Type) + " " + u.by[0].Name
	if n := len(u.by) - 1; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// lead is "lead" or "leads".
func (u use) lead() string {
	if len(u.by) > 1 {
		return u.way() + " lead"
	}
	return u.way() + " leads"
}

func (c *stateCheck) useFinding(u use, v xds.Verdict, sentence string) Finding {
	side := SideOf(v)
	f := Finding{Ports: u.ports.String(), Resource: &xds.Resource{Type: u.by[0].Type, Name: u.by[0].Name}, Verdict: &side, Owner: ask(c.View, v), Summary: sentence}
	f.Remedies = c.remedies(xds.EvDead, f, v)
	return f
}

func missingClusters(c *stateCheck) []Finding {
	var out []Finding
	for _, u := range c.uses() {
		if v := c.View.Cluster(u.cluster); v.Kind == xds.NoCluster && !c.deadEnd(u.cluster) {
			out = append(out, c.useFinding(u, v, fmt.Sprintf("%s to cluster %s, which does not exist", u.lead(), u.cluster)))
		}
	}
	return out
}

func emptyClusters(c *stateCheck) []Finding {
	var out []Finding
	for _, u := range c.uses() {
		if v := c.View.Cluster(u.cluster); v.Kind == xds.NoEndpoints && !c.deadEnd(u.cluster) {
			f := c.useFinding(u, v, fmt.Sprintf("%s to cluster %s", u.lead(), place(SideOf(v))))
			f.Resource = &xds.Resource{Type: xds.ClusterType, Name: u.cluster}
			out = append(out, f)
		}
	}
	return out
}

// deadEnd reports whether a whole port ends at the cluster: that is told as a dead
// capture, and once is enough.
func (c *stateCheck) deadEnd(cluster string) bool {
	return slices.ContainsFunc(c.takes(), func(t taken) bool { return t.kind == xds.EvDeadCapture && t.after.Cluster == cluster })
}

// missingResources looks at what was acknowledged: what waits takes no traffic.
func missingResources(c *stateCheck) []Finding {
	var out []Finding
	for _, typ := range []string{xds.ListenerType, xds.ClusterType} {
		for name, d := range c.Accepted.All(typ) {
			for _, r := range c.Refs(typ, d) {
				if r.Type == xds.ClusterType {
					continue
				}
				if _, ok := c.Accepted.Lookup(r.Type, r.Name); !ok {
					out = append(out, c.missing(typ, name, r))
				}
			}
		}
	}
	return out
}

func (c *stateCheck) missing(typ, name string, r state.Ref) Finding {
	f := Finding{
		Resource: &xds.Resource{Type: typ, Name: name},
		Summary:  fmt.Sprintf("%s %s waits for %s %s, which was not sent", xds.ShortType(typ), name, xds.ShortType(r.Type), r.Name),
	}
	if typ == xds.ClusterType {
		f.Owner = ask(c.View, xds.Verdict{Cluster: name})
	} else if d, ok := c.Accepted.Lookup(typ, name); ok {
		f.Ports = c.portsOf(d).String()
	}
	f.Remedies = []xds.Remedy{{
		Title: fmt.Sprintf("Find out why %s %s was not sent", xds.ShortType(r.Type), r.Name),
		Why: fmt.Sprintf("Envoy asks for it by that name and goes on with the version of %s that it had before, or without. Either the control plane does not have it, "+
			"or the answer is still under way: xdsproxy log --type %s %s", name, strings.ToLower(xds.ShortType(r.Type)), c.in.name()),
	}}
	return f
}

// headerClusters finds ORIGINAL_DST clusters with use_http_header: for HTTP the
// client names the address (source/extensions/clusters/original_dst).
func headerClusters(c *stateCheck) []Finding {
	var out []Finding
	for name, d := range c.Snapshot.All(xds.ClusterType) {
		m, err := decode.As[*clusterv3.Cluster](c.Cache, d)
		if err != nil || m.GetType() != clusterv3.Cluster_ORIGINAL_DST || !m.GetOriginalDstLbConfig().GetUseHttpHeader() {
			continue
		}
		header := firstOf(m.GetOriginalDstLbConfig().GetHttpHeaderName(), "x-envoy-original-dst-host")
		out = append(out, Finding{
			Resource: &xds.Resource{Type: xds.ClusterType, Name: name}, Owner: ask(c.View, xds.Verdict{Cluster: name}),
			Summary: fmt.Sprintf("cluster %s dials whatever address the request header %s names", name, header),
			Remedies: []xds.Remedy{{
				Title: "Do not let clients choose the address",
				Why: fmt.Sprintf("Who can send an HTTP request this way reaches any address that the sidecar reaches, past every other rule. Take use_http_header out of the cluster "+
					"(usually an EnvoyFilter put it there: kubectl get envoyfilter -A), or strip %s from requests before they are routed.", header),
			}},
		})
	}
	return out
}
