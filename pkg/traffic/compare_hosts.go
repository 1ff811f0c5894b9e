package traffic

import (
	"fmt"
	"slices"
)

// splitHosts makes virtual hosts of two sides (or of several route
// configurations) disjoint: names that the same hosts share stay together and
// keep the routes of all of them.
func splitHosts(hosts []hostFacet) []hostFacet {
	members := map[string][]int{} // name -> the hosts that have it
	var names []string
	var rest hostFacet
	for i, h := range hosts {
		if h.all {
			rest.all, rest.guards = true, append(rest.guards, h.guards...)
		}
		for _, d := range h.domains {
			if members[d] == nil {
				names = append(names, d)
			}
			members[d] = append(members[d], i)
		}
	}
	at := map[string]int{}
	var out []hostFacet
	for _, d := range names {
		key := fmt.Sprint(members[d])
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, hostFacet{guards: guardsOf(hosts, members[d])})
		}
		out[i].domains = append(out[i].domains, d)
	}
	if rest.all {
		rest.guards = distinct(rest.guards)
		out = append(out, rest)
	}
	return out
}

func guardsOf(hosts []hostFacet, members []int) []guard {
	var out []guard
	for _, i := range members {
		out = append(out, hosts[i].guards...)
	}
	return distinct(out)
}

// distinct drops guards that are told twice; the first stays.
func distinct(guards []guard) []guard {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(guards), func(g guard) bool {
		again := seen[g.text]
		seen[g.text] = true
		return again
	})
}
