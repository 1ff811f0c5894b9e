package traffic

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	cswrrv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3"
	providedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/cluster_provided/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	randomv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	ringv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	roundv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	wrrv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/wrr_locality/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// balance is which of its endpoints a cluster may use.
type balance struct {
	panicAt     float64 // share of usable endpoints, in percent, below which all are used
	failOnPanic bool
	localities  bool // only localities with a weight take traffic
	subsets     *subsets
	unsure      string
}

// defaultPanic is healthy_panic_threshold where it is not set.
const defaultPanic = 50

func compileBalance(m *clusterv3.Cluster) balance {
	b := balance{panicAt: defaultPanic}
	lb := m.GetCommonLbConfig()
	if t := lb.GetHealthyPanicThreshold(); t != nil {
		b.panicAt = t.GetValue()
	}
	b.localities = lb.GetLocalityWeightedLbConfig() != nil
	b.failOnPanic = lb.GetZoneAwareLbConfig().GetFailTrafficOnPanic()
	if lb.GetOverrideHostStatus() != nil {
		b.unsure = "override_host_status is not evaluated"
	}
	b.setSubsets(m.GetLbSubsetConfig())
	if p := m.GetLoadBalancingPolicy(); p != nil {
		b.typed(p)
	}
	return b
}

// typed takes the first policy that is known; one that is not makes the choice unsure.
func (b *balance) typed(p *clusterv3.LoadBalancingPolicy) {
	if len(p.GetPolicies()) == 0 {
		return
	}
	x := p.GetPolicies()[0].GetTypedExtensionConfig()
	m, err := decode.Any(x.GetTypedConfig())
	if err != nil || !b.known(m) {
		b.unsure = "load balancing policy " + x.GetName() + " is not evaluated"
	}
}

func (b *balance) known(m proto.Message) bool {
	var l *commonv3.LocalityLbConfig
	switch m := m.(type) {
	case *roundv3.RoundRobin:
		l = m.GetLocalityLbConfig()
	case *leastv3.LeastRequest:
		l = m.GetLocalityLbConfig()
	case *randomv3.Random:
		l = m.GetLocalityLbConfig()
	case *ringv3.RingHash:
		b.localities = b.localities || m.GetLocalityWeightedLbConfig() != nil
	case *maglevv3.Maglev:
		b.localities = b.localities || m.GetLocalityWeightedLbConfig() != nil
	case *wrrv3.WrrLocality:
		b.localities = true
		return true
	case *cswrrv3.ClientSideWeightedRoundRobin, *providedv3.ClusterProvided:
		return true
	default:
		return false
	}
	b.localities = b.localities || l.GetLocalityWeightedLbConfig() != nil
	b.failOnPanic = b.failOnPanic || l.GetZoneAwareLbConfig().GetFailTrafficOnPanic()
	return true
}

// chosen is which endpoints of an assignment may be used.
type chosen struct {
	hosts  []host
	reason string // why there is none: empty, unhealthy
	unsure string
}

// choose applies health, priorities, panic, localities and subsets
// (source/extensions/load_balancing_policies/common/load_balancer_impl.cc).
func (b *balance) choose(a *assignment, want criteria) chosen {
	switch {
	case a.broken != "":
		return chosen{unsure: a.broken}
	case b.unsure != "":
		return chosen{unsure: b.unsure}
	case a.weighted:
		return chosen{unsure: "weighted_priority_health is not evaluated"}
	case b.subsets != nil:
		return b.subsets.choose(b, a, want)
	}
	return b.among(a, func(host) bool { return true })
}

// among chooses among the hosts that ok admits.
func (b *balance) among(a *assignment, ok func(host) bool) chosen {
	sets, total := hostSets(a, ok)
	if total == 0 {
		return chosen{reason: "empty"}
	}
	out := b.spread(sets)
	if len(out.hosts) == 0 && out.reason == "" {
		out.reason = "unhealthy"
	}
	return out
}

// hostSet is one priority.
type hostSet struct {
	all, healthy, degraded []host
	weighted               []locality // localities with a weight
	factor                 uint32     // overprovisioning, in percent
}

// hostSets are the priorities of a, of the hosts that ok admits.
func hostSets(a *assignment, ok func(host) bool) ([]hostSet, int) {
	var sets []hostSet
	total := 0
	for _, p := range a.priorities {
		s := hostSet{factor: a.factor}
		for _, l := range p.localities {
			l.hosts = slices.DeleteFunc(slices.Clone(l.hosts), func(h host) bool { return !ok(h) })
			if l.weight > 0 {
				s.weighted = append(s.weighted, l)
			}
			for _, h := range l.hosts {
				s.add(h)
			}
		}
		total += len(s.all)
		sets = append(sets, s)
	}
	return sets, total
}

func (s *hostSet) add(h host) {
	s.all = append(s.all, h)
	switch h.health {
	case healthy:
		s.healthy = append(s.healthy, h)
	case degraded:
		s.degraded = append(s.degraded, h)
	}
}

// spread gives load to priorities, and takes the hosts of those that get any.
func (b *balance) spread(sets []hostSet) chosen {
	h, d, sum := available(sets)
	if sum < 100 {
		if out, done := b.panicking(sets, sum); done {
			return out
		}
	}
	loadH, loadD := loads(h, d, sum)
	return b.collect(sets, loadH, loadD, sum)
}

// available is how much of all load the healthy and the degraded hosts of each
// priority can carry, in percent, and how much all can.
func available(sets []hostSet) (h, d []uint32, sum uint32) {
	h, d = make([]uint32, len(sets)), make([]uint32, len(sets))
	for i, s := range sets {
		if n := uint32(len(s.all)); n > 0 {
			h[i] = min(100, s.factor*uint32(len(s.healthy))/n)
			d[i] = min(100, s.factor*uint32(len(s.degraded))/n)
		}
		sum += h[i] + d[i]
	}
	return h, d, min(100, sum)
}

// loads is the load that each priority gets; sum is not 0.
func loads(h, d []uint32, sum uint32) (loadH, loadD []uint32) {
	loadH, left := distribute(h, 100, sum)
	loadD, left = distribute(d, left, sum)
	leftover(loadH, loadD, h, d, left)
	return loadH, loadD
}

func (b *balance) allInPanic(sets []hostSet) bool {
	for _, s := range sets {
		if !b.inPanic(s) {
			return false
		}
	}
	return true
}

// panicking handles the case where everything is in panic, or nothing is usable.
func (b *balance) panicking(sets []hostSet, sum uint32) (chosen, bool) {
	all := b.allInPanic(sets)
	switch {
	case all && b.failOnPanic:
		return chosen{reason: "unhealthy, and traffic fails on panic"}, true
	case all:
		var out chosen
		for _, s := range sets {
			out.hosts = append(out.hosts, s.all...)
		}
		return out, true
	case sum == 0:
		// All of it goes to the first priority, whatever that holds.
		if b.inPanic(sets[0]) && !b.failOnPanic {
			return chosen{hosts: sets[0].all}, true
		}
		return chosen{reason: "unhealthy"}, true
	}
	return chosen{}, false
}

func (b *balance) inPanic(s hostSet) bool {
	if len(s.all) == 0 {
		return 0 < b.panicAt
	}
	return 100*float64(len(s.healthy)+len(s.degraded))/float64(len(s.all)) < b.panicAt
}

func distribute(avail []uint32, left, sum uint32) ([]uint32, uint32) {
	out := make([]uint32, len(avail))
	for i, a := range avail {
		out[i] = min(left, a*100/sum)
		left -= out[i]
	}
	return out, left
}

// leftover gives what rounding left to the first priority that is available.
func leftover(loadH, loadD, h, d []uint32, left uint32) {
	if left == 0 {
		return
	}
	for i := range h {
		switch {
		case h[i] > 0:
			loadH[i] += left
			return
		case d[i] > 0:
			loadD[i] += left
			return
		}
	}
}

func (b *balance) collect(sets []hostSet, loadH, loadD []uint32, sum uint32) chosen {
	var out chosen
	for i, s := range sets {
		panics := sum < 100 && b.inPanic(s)
		if loadH[i]+loadD[i] == 0 {
			continue
		}
		if panics {
			if !b.failOnPanic {
				out.hosts = append(out.hosts, s.all...)
			}
			continue
		}
		if loadH[i] > 0 {
			out.hosts = append(out.hosts, b.local(s, s.healthy, healthy)...)
		}
		if loadD[i] > 0 {
			out.hosts = append(out.hosts, b.local(s, s.degraded, degraded)...)
		}
	}
	return out
}

// local leaves only localities with a weight, where these are what counts.
func (b *balance) local(s hostSet, plain []host, st healthState) []host {
	if !b.localities || len(s.weighted) == 0 {
		return plain
	}
	var out []host
	for _, l := range s.weighted {
		for _, h := range l.hosts {
			if h.health == st {
				out = append(out, h)
			}
		}
	}
	return out
}
