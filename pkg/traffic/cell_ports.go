package traffic

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// portRange is lo to hi, both included.
type portRange struct{ lo, hi uint16 }

// portSet is ordered, disjoint and has no neighbours that touch.
type portSet []portRange

// allPorts leaves port 0 out: nobody can connect to it.
var allPorts = portSet{{1, 65535}}

func onePort(p uint16) portSet { return portSet{{p, p}} }

// joinPorts is the union of sets.
func joinPorts(sets ...portSet) portSet {
	if len(sets) == 2 && len(sets[0]) > 0 && len(sets[1]) == 1 && int(sets[1][0].lo) > int(sets[0][len(sets[0])-1].hi)+1 {
		return append(slices.Clip(sets[0]), sets[1][0]) // as they mostly come
	}
	all := slices.Concat(sets...)
	slices.SortFunc(all, func(a, b portRange) int { return cmp.Compare(a.lo, b.lo) })
	var out portSet
	for _, r := range all {
		if n := len(out); n > 0 && int(r.lo) <= int(out[n-1].hi)+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// String is the form in a cell: "3306", "1-3305,3307-65535" or "*".
func (s portSet) String() string {
	if slices.Equal(s, allPorts) {
		return "*"
	}
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = strconv.Itoa(int(r.lo))
		if r.hi > r.lo {
			parts[i] += "-" + strconv.Itoa(int(r.hi))
		}
	}
	return strings.Join(parts, ",")
}

func (s portSet) contains(p uint16) bool {
	i, found := slices.BinarySearchFunc(s, p, func(r portRange, p uint16) int { return cmp.Compare(r.lo, p) })
	return found || i > 0 && s[i-1].hi >= p
}

// wellKnown are the ports that people recognise, for a witness.
var wellKnown = []uint16{443, 80, 8080, 3306, 5432, 6379}

// witness is a member that people recognise, else the lowest.
func (s portSet) witness() uint16 {
	for _, p := range wellKnown {
		if s.contains(p) {
			return p
		}
	}
	return s[0].lo
}

// minus takes single ports out.
func (s portSet) minus(out map[uint16]bool) portSet {
	gone := slices.Sorted(maps.Keys(out))
	var left portSet
	for _, r := range s {
		lo := int(r.lo)
		i, _ := slices.BinarySearch(gone, r.lo)
		for ; i < len(gone) && gone[i] <= r.hi; i++ {
			if int(gone[i]) > lo {
				left = append(left, portRange{uint16(lo), gone[i] - 1})
			}
			lo = int(gone[i]) + 1
		}
		if lo <= int(r.hi) {
			left = append(left, portRange{uint16(lo), r.hi})
		}
	}
	return left
}

// cutPorts cuts all ports where a range [start,end) starts or ends.
func cutPorts(ranges [][2]int32) []portSet {
	cuts := []int{1, 65536}
	for _, r := range ranges {
		for _, p := range r {
			if p > 1 && p <= 65535 {
				cuts = append(cuts, int(p))
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	out := make([]portSet, 0, len(cuts))
	for i, lo := range cuts[:len(cuts)-1] {
		out = append(out, portSet{{uint16(lo), uint16(cuts[i+1] - 1)}})
	}
	return out
}
