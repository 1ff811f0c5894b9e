package cli

import (
	"cmp"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"
)

// clusterView prints clusters.
type clusterView struct {
	fqdn, direction, subset string
	port                    uint32
}

func (v clusterView) header() []string {
	return []string{"SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"}
}

func (v clusterView) keep(m proto.Message) bool {
	c, ok := m.(*clusterv3.Cluster)
	if !ok {
		return false
	}
	for _, part := range []string{v.fqdn, v.direction, v.subset} {
		if !strings.Contains(c.GetName(), part) {
			return false
		}
	}
	return v.port == 0 || strings.Contains(c.GetName(), "|"+strconv.FormatUint(uint64(v.port), 10)+"|")
}

func (v clusterView) compare(a, b proto.Message) int {
	return compareClusterNames(a.(*clusterv3.Cluster).GetName(), b.(*clusterv3.Cluster).GetName())
}

func (v clusterView) rows(m proto.Message) [][]string {
	c := m.(*clusterv3.Cluster)
	k := parseClusterName(c.GetName())
	return [][]string{{k.host, k.portText(), dash(k.subset), dash(k.direction), c.GetType().String(), managedBy(c.GetMetadata())}}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// clusterName is the parts of Istio's direction|port|subset|host; of any other
// name host alone is set.
type clusterName struct {
	direction, subset, host string
	port                    int
}

func (k clusterName) portText() string {
	if k.direction == "" {
		return "-"
	}
	return strconv.Itoa(k.port)
}

func parseClusterName(name string) clusterName {
	p := strings.Split(name, "|")
	if len(p) < 4 {
		return clusterName{host: name}
	}
	port, _ := strconv.Atoi(p[1]) // not a number: 0, as istioctl has it
	return clusterName{direction: p[0], port: port, subset: p[2], host: p[3]}
}

func compareClusterNames(a, b string) int {
	x, y := parseClusterName(a), parseClusterName(b)
	return cmp.Or(cmp.Compare(x.host, y.host), cmp.Compare(x.subset, y.subset), cmp.Compare(x.port, y.port), cmp.Compare(x.direction, y.direction))
}
