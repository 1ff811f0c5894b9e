package judge

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// portRange is lo to hi, both inclusive.
type portRange struct{ lo, hi int }

// portSet is a sorted list of ranges that do not touch.
type portSet []portRange

var allPorts = portSet{{1, 65535}}

// parsePorts reads "3306", "1-3305,3307-65535" or "*"; what is no port is left out.
func parsePorts(s string) portSet {
	if s == "*" {
		return allPorts
	}
	var out portSet
	for _, part := range strings.Split(s, ",") {
		lo, hi, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			hi = lo
		}
		a, err1 := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		if err1 == nil && err2 == nil && a <= b {
			out = append(out, portRange{a, b})
		}
	}
	return out.normal()
}

func (p portSet) normal() portSet {
	p = slices.Clone(p)
	slices.SortFunc(p, func(a, b portRange) int { return cmp.Compare(a.lo, b.lo) })
	var out portSet
	for _, r := range p {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

func (p portSet) has(port int) bool {
	return slices.ContainsFunc(p, func(r portRange) bool { return r.lo <= port && port <= r.hi })
}

func (p portSet) overlaps(q portSet) bool {
	return slices.ContainsFunc(p, func(a portRange) bool {
		return slices.ContainsFunc(q, func(b portRange) bool { return a.lo <= b.hi && b.lo <= a.hi })
	})
}

// minus is what p has and q has not.
func (p portSet) minus(q portSet) portSet {
	for _, b := range q {
		var out portSet
		for _, a := range p {
			if a.lo < b.lo {
				out = append(out, portRange{a.lo, min(a.hi, b.lo-1)})
			}
			if a.hi > b.hi {
				out = append(out, portRange{max(a.lo, b.hi+1), a.hi})
			}
		}
		p = out
	}
	return p
}

// single is the one port of the set, 0 when there are several or none.
func (p portSet) single() int {
	if len(p) == 1 && p[0].lo == p[0].hi {
		return p[0].lo
	}
	return 0
}

func (p portSet) String() string {
	if len(p) == 1 && p[0].lo <= 1 && p[0].hi == 65535 {
		return "*"
	}
	parts := make([]string, len(p))
	for i, r := range p {
		parts[i] = strconv.Itoa(r.lo)
		if r.hi != r.lo {
			parts[i] = fmt.Sprintf("%d-%d", r.lo, r.hi)
		}
	}
	return strings.Join(parts, ",")
}
