package traffic

import (
	"maps"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// criteria are what a route or tcp_proxy asks of the metadata of endpoints, nil
// if nothing.
type criteria map[string]*structpb.Value

// criteriaOf reads metadata_match.
func criteriaOf(md *corev3.Metadata) criteria { return md.GetFilterMetadata()["envoy.lb"].GetFields() }

// with adds what one of several clusters asks for, which wins.
func (c criteria) with(more criteria) criteria {
	if len(more) == 0 {
		return c
	}
	out := maps.Clone(c)
	if out == nil {
		out = criteria{}
	}
	maps.Copy(out, more)
	return out
}

func (c criteria) only(keys []string) criteria {
	out := criteria{}
	for _, k := range keys {
		if v, ok := c[k]; ok {
			out[k] = v
		}
	}
	return out
}

// subsets is a subset load balancer
// (source/extensions/load_balancing_policies/subset/subset_lb.cc).
type subsets struct {
	fallback  clusterv3.Cluster_LbSubsetConfig_LbSubsetFallbackPolicy
	defaults  criteria
	selectors []selector
	listAsAny bool
	panics    bool // where the fallback has no host, all hosts will do
	aware     bool // of the weights of localities
}

// selector makes a subset of each set of values that its keys have.
type selector struct {
	keys     []string // sorted
	fallback clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_LbSubsetSelectorFallbackPolicy
	to       []string // KEYS_SUBSET
	single   bool     // a subset is one host
}

// setSubsets: without selectors there are none (source/common/upstream/upstream_impl.cc).
func (b *balance) setSubsets(m *clusterv3.Cluster_LbSubsetConfig) {
	if len(m.GetSubsetSelectors()) == 0 {
		return
	}
	s := &subsets{fallback: m.GetFallbackPolicy(), defaults: m.GetDefaultSubset().GetFields(), listAsAny: m.GetListAsAny(),
		panics: m.GetPanicModeAny(), aware: m.GetLocalityWeightAware()}
	for _, x := range m.GetSubsetSelectors() {
		keys := slices.Clone(x.GetKeys())
		slices.Sort(keys)
		s.selectors = append(s.selectors, selector{slices.Compact(keys), x.GetFallbackPolicy(), x.GetFallbackKeysSubset(), x.GetSingleHostPerSubset()})
	}
	if m.GetMetadataFallbackPolicy() != clusterv3.Cluster_LbSubsetConfig_METADATA_NO_FALLBACK {
		b.unsure = "the subset load balancer's fallback_list is not evaluated"
	}
	if m.GetScaleLocalityWeight() && m.GetLocalityWeightAware() {
		b.unsure = "the subset load balancer's scaled weights are not evaluated"
	}
	b.subsets = s
}

// choose finds the subset that is asked for, or what stands in for it.
func (s *subsets) choose(b *balance, a *assignment, want criteria) chosen {
	inner := *b
	inner.localities = b.localities && s.aware
	return s.iterate(&inner, a, want)
}

func (s *subsets) iterate(b *balance, a *assignment, want criteria) chosen {
	if sel := s.exactly(want); sel != nil {
		if n := a.count(s.has(want)); n > 1 && sel.single {
			return chosen{unsure: "a subset of one host is given several"}
		} else if n > 0 {
			return b.among(a, s.has(want))
		}
	}
	if sel := s.fallbackOf(want); sel != nil {
		switch sel.fallback {
		case clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_NO_FALLBACK:
			return chosen{reason: "no endpoint is in the subset that is asked for"}
		case clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_ANY_ENDPOINT:
			return b.among(a, s.has(nil))
		case clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_DEFAULT_SUBSET:
			return b.among(a, s.has(s.defaults))
		case clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_KEYS_SUBSET:
			return s.iterate(b, a, want.only(sel.to)) // fewer keys each time: Envoy wants a true subset
		}
	}
	return s.instead(b, a)
}

// instead is the fallback of the whole balancer.
func (s *subsets) instead(b *balance, a *assignment) chosen {
	var out chosen
	switch s.fallback {
	case clusterv3.Cluster_LbSubsetConfig_ANY_ENDPOINT:
		out = b.among(a, s.has(nil))
	case clusterv3.Cluster_LbSubsetConfig_DEFAULT_SUBSET:
		out = b.among(a, s.has(s.defaults))
	default:
		return chosen{reason: "no endpoint is in a subset that is asked for, and the cluster has no fallback"}
	}
	if len(out.hosts) == 0 && out.unsure == "" && s.panics {
		return b.among(a, s.has(nil))
	}
	return out
}

// exactly is the selector with the keys of want, nil if there is none.
func (s *subsets) exactly(want criteria) *selector {
	keys := sortedNames(want)
	for i, x := range s.selectors {
		if len(keys) > 0 && slices.Equal(x.keys, keys) {
			return &s.selectors[i]
		}
	}
	return nil
}

// fallbackOf is the selector whose fallback holds for the keys of want. Selectors
// stand in a tree by their keys: where a longer one has made the place before,
// nothing is noted there.
func (s *subsets) fallbackOf(want criteria) *selector {
	keys := sortedNames(want)
	for i, x := range s.selectors {
		if len(keys) == 0 || len(x.keys) < len(keys) || !slices.Equal(x.keys[:len(keys)], keys) {
			continue
		}
		if len(x.keys) == len(keys) && x.fallback != clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_NOT_DEFINED {
			return &s.selectors[i]
		}
		return nil
	}
	return nil
}

func sortedNames(c criteria) []string { return slices.Sorted(maps.Keys(c)) }

// has admits the hosts with all values of want.
func (s *subsets) has(want criteria) func(host) bool {
	return func(h host) bool {
		for k, v := range want {
			if w, ok := h.meta[k]; !ok || !s.equal(v, w) {
				return false
			}
		}
		return true
	}
}

// equal compares what is asked for with what a host has: with listAsAny one of a list.
func (s *subsets) equal(want, has *structpb.Value) bool {
	if l := has.GetListValue(); s.listAsAny && l != nil {
		return slices.ContainsFunc(l.GetValues(), func(v *structpb.Value) bool { return proto.Equal(want, v) })
	}
	return proto.Equal(want, has)
}

func (a *assignment) count(ok func(host) bool) int {
	_, n := hostSets(a, ok)
	return n
}

// subsetOf reports that md has every entry of want.
func subsetOf(want, md map[string]*structpb.Value) bool {
	for k, v := range want {
		if w, ok := md[k]; !ok || !proto.Equal(v, w) {
			return false
		}
	}
	return true
}
