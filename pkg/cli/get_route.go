package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
)

// routeView prints route configurations.
type routeView struct{ name string }

func (v routeView) header() []string {
	return []string{"NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"}
}

func (v routeView) keep(m proto.Message) bool {
	rc, ok := m.(*routev3.RouteConfiguration)
	return ok && (v.name == "" || v.name == rc.GetName())
}

// compare puts routes named by ports first, by number.
func (v routeView) compare(a, b proto.Message) int {
	x, y := a.(*routev3.RouteConfiguration).GetName(), b.(*routev3.RouteConfiguration).GetName()
	i, errX := strconv.Atoi(x)
	j, errY := strconv.Atoi(y)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(i, j)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Compare(x, y)
}

func (v routeView) rows(m proto.Message) [][]string {
	rc := m.(*routev3.RouteConfiguration)
	var out [][]string
	for _, vh := range rc.GetVirtualHosts() {
		domains := routeDomains(vh.GetDomains())
		for _, r := range vh.GetRoutes() {
			if r.GetRoute().GetCluster() != "PassthroughCluster" {
				out = append(out, []string{rc.GetName(), vh.GetName(), domains, routeMatch(r.GetMatch()), managedBy(r.GetMetadata())})
			}
		}
		if len(vh.GetRoutes()) == 0 {
			out = append(out, []string{rc.GetName(), vh.GetName(), domains, "404", ""})
		}
	}
	return out
}

// maxDomains is how many domains of a virtual host are shown.
const maxDomains = 2

// routeDomains lists the first domains, without ports and without the longer
// forms of a cluster-local name.
func routeDomains(domains []string) string {
	if len(domains) <= 1 {
		return strings.Join(domains, "")
	}
	var bare []string
	for _, d := range domains {
		if !hasPort(d) {
			bare = append(bare, d)
		}
	}
	bare = slices.DeleteFunc(bare, func(d string) bool { return longForm(domains, d) })
	if len(bare) > maxDomains {
		return fmt.Sprintf("%s + %d more...", strings.Join(bare[:maxDomains], ", "), len(bare)-maxDomains)
	}
	return strings.Join(bare, ", ")
}

func hasPort(d string) bool {
	if strings.HasPrefix(d, "[") { // IPv6
		return strings.Contains(d, "]:")
	}
	return strings.Contains(d, ":")
}

// longForm reports whether a shorter form of a cluster-local name is there too.
func longForm(all []string, d string) bool {
	for _, suffix := range []string{".svc.cluster.local", ".svc"} {
		if short, ok := strings.CutSuffix(d, suffix); ok && slices.Contains(all, short) {
			return true
		}
	}
	return false
}

func routeMatch(m *routev3.RouteMatch) string {
	var conds []string
	switch {
	case m.GetPrefix() != "":
		conds = append(conds, m.GetPrefix()+"*")
	case m.GetPathSeparatedPrefix() != "":
		conds = append(conds, "PathPrefix:"+m.GetPathSeparatedPrefix())
	case m.GetPath() != "":
		conds = append(conds, m.GetPath())
	case m.GetSafeRegex() != nil:
		conds = append(conds, "regex "+m.GetSafeRegex().GetRegex())
	}
	return strings.Join(conds, " ")
}

// managedBy names the Istio object that metadata points to, as name.namespace:
// /apis/networking.istio.io/v1/namespaces/NS/virtual-service/NAME.
func managedBy(md *corev3.Metadata) string {
	path := md.GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue()
	p := strings.Split(path, "/")
	if len(p) == 8 && p[1] == "apis" && p[4] == "namespaces" {
		return p[7] + "." + p[5]
	}
	return path
}
