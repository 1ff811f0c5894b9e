package traffic

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// part is one priority of one member of an aggregate cluster.
type part struct {
	member *cluster
	sets   []hostSet // of the member, all priorities
	at     int       // which of them
}

// aggregate spreads load over the priorities of all members, one after the other,
// by the aggregate's own panic threshold; the member that is chosen picks a host of
// that priority by its own (source/extensions/clusters/aggregate/cluster.cc,
// lb_context.h). Members that are not there, and priorities without hosts, are left out.
func (x *conn) aggregate(c *cluster, want criteria) xds.Verdict {
	var parts []part
	var sets []hostSet
	for _, name := range c.members {
		m := x.v.cluster(name)
		if m == nil || m.kind == kindAggregate && m.broken == "" {
			continue // an aggregate has no hosts of its own
		}
		ps, why := x.partsOf(m, want)
		if why != "" {
			return unknown("cluster " + c.name + ": member " + name + ": " + why)
		}
		for _, p := range ps {
			parts, sets = append(parts, p), append(sets, p.sets[p.at])
		}
	}
	if len(parts) == 0 {
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: "no member has endpoints"}
	}
	return x.spreadOver(c, parts, sets)
}

func (x *conn) partsOf(m *cluster, want criteria) ([]part, string) {
	switch {
	case m.broken != "":
		return nil, m.broken
	case m.kind == kindOriginalDst || m.kind == kindDynamic || m.kind == kindOther:
		return nil, "its type is not evaluated in an aggregate"
	case m.balance.unsure != "":
		return nil, m.balance.unsure
	case m.balance.subsets != nil:
		return nil, "subsets are not evaluated in an aggregate"
	}
	a, why := x.v.assignmentOf(m)
	if why != "" {
		return nil, why
	}
	if a.broken != "" || a.weighted {
		return nil, "its endpoints are not evaluated"
	}
	sets, _ := hostSets(a, func(host) bool { return true })
	var out []part
	for i, s := range sets {
		if len(s.all) > 0 {
			out = append(out, part{m, sets, i})
		}
	}
	return out, ""
}

// spreadOver collects what each part that gets load chooses. Where one of them has
// no host for it, the end is a matter of chance.
func (x *conn) spreadOver(c *cluster, parts []part, sets []hostSet) xds.Verdict {
	loadH, loadD := c.balance.aggregated(sets)
	var out xds.Verdict
	dead := false
	for i, p := range parts {
		if loadH[i]+loadD[i] == 0 {
			continue
		}
		hosts := p.hosts(loadH[i] > 0, loadD[i] > 0)
		if len(hosts) == 0 {
			dead = true
			continue
		}
		vd := x.endpoints(p.member, hosts)
		if out.Kind != "" && (vd.Kind != out.Kind || vd.Target != out.Target || vd.Transport != out.Transport) {
			return unknown("cluster " + c.name + ": its members differ in more than endpoints")
		}
		x.step("cluster " + p.member.name)
		vd.Cluster, vd.Endpoints = c.name, append(out.Endpoints, vd.Endpoints...)
		out = vd
	}
	switch {
	case out.Kind == "":
		return xds.Verdict{Kind: xds.NoEndpoints, Reason: "no member has usable endpoints"}
	case dead:
		return unknown("cluster " + c.name + ": a share of its members has no way out")
	}
	return out
}

// aggregated is the load that the parts of an aggregate get: in panic all of them
// do, and where nothing is usable it is the first.
func (b *balance) aggregated(sets []hostSet) (loadH, loadD []uint32) {
	h, d, sum := available(sets)
	loadD = make([]uint32, len(sets))
	switch {
	case sum < 100 && b.allInPanic(sets):
		for _, s := range sets {
			loadH = append(loadH, uint32(len(s.all)))
		}
		return loadH, loadD
	case sum == 0:
		loadH = make([]uint32, len(sets))
		loadH[0] = 100
		return loadH, loadD
	}
	return loads(h, d, sum)
}

// hosts are those of the part that may be chosen, by the member's own panic threshold.
func (p part) hosts(healthyToo, degradedToo bool) []host {
	b, s := &p.member.balance, p.sets[p.at]
	if _, _, sum := available(p.sets); sum < 100 && b.inPanic(s) {
		if b.failOnPanic {
			return nil
		}
		return s.all
	}
	var out []host
	if healthyToo {
		out = append(out, b.local(s, s.healthy, healthy)...)
	}
	if degradedToo {
		out = append(out, b.local(s, s.degraded, degraded)...)
	}
	return out
}

// standing tells assignments apart whose endpoints differ in more than addresses,
// for whatever uses them: shares of health, and metadata that makes subsets.
type standing uint64

func (a *assignment) standing() standing {
	h := fnv.New64a()
	for i, p := range a.priorities {
		counts, ill := map[string]uint32{}, false
		for _, l := range p.localities {
			for _, e := range l.hosts {
				counts[string(append([]byte{byte(e.health), byte(min(1, l.weight))}, subsetKey(e)...))]++
				ill = ill || e.health != healthy
			}
		}
		for _, k := range slices.Sorted(maps.Keys(counts)) {
			n := counts[k]
			if !ill {
				n = 1 // however many they are
			}
			_, _ = h.Write(binary.BigEndian.AppendUint32(append([]byte(k), byte(i)), n))
		}
	}
	return standing(h.Sum64())
}

// subsetKey is what subset load balancers know of a host.
func subsetKey(h host) []byte {
	var out []byte
	for _, k := range sortedNames(h.meta) {
		v, err := proto.MarshalOptions{Deterministic: true}.Marshal(h.meta[k])
		if err == nil {
			out = append(append(append(out, k...), 0), v...)
		}
	}
	return out
}
