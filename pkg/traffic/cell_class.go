package traffic

import (
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// mergeClasses writes the classes of which in is true as few, given that all of
// them are a partition of what a client may say: nil is every signal, a kind
// alone every signal of that kind.
func mergeClasses(all []xds.Class, in []bool) []xds.Class {
	if !slices.Contains(in, false) {
		return nil
	}
	out := []xds.Class{}
	for _, kind := range xds.SignalKinds {
		var items []classItem
		for i, c := range all {
			if c.Kind == kind {
				items = append(items, classItem{c, in[i]})
			}
		}
		out = append(out, mergeKind(items)...)
	}
	return out
}

// classItem is a class, and whether it is in the set to be written.
type classItem struct {
	xds.Class
	in bool
}

// dimension is one way in which classes of a kind are told apart.
type dimension struct {
	lists func(*xds.Class) (only, not *[]string)
}

// dimensions, the innermost first: that is the order in which they are joined.
var dimensions = []dimension{
	{func(c *xds.Class) (*[]string, *[]string) { return &c.ALPN, &c.ALPNNot }},
	{func(c *xds.Class) (*[]string, *[]string) { return &c.SNI, &c.SNINot }},
	{func(c *xds.Class) (*[]string, *[]string) { return &c.Hosts, &c.HostsNot }},
}

func mergeKind(items []classItem) []xds.Class {
	if len(items) == 0 || !items[0].in && agree(items) {
		return nil
	}
	items = joinGuards(items)
	used := slices.DeleteFunc(slices.Clone(dimensions), func(d dimension) bool { return !d.used(items) })
	for _, d := range used {
		items = d.join(items)
	}
	for _, d := range used {
		items = d.lump(items)
	}
	var out []xds.Class
	for _, it := range items {
		if it.in {
			out = append(out, it.Class)
		}
	}
	return out
}

// used reports whether any of the classes is told apart in this way.
func (d dimension) used(items []classItem) bool {
	return slices.ContainsFunc(items, func(it classItem) bool {
		only, not := d.lists(&it.Class)
		return len(*only)+len(*not) > 0
	})
}

// joinGuards drops the guards of a class where all of them agree; where they do
// not, what no guard asks for is said to be that.
func joinGuards(items []classItem) []classItem {
	if !slices.ContainsFunc(items, func(it classItem) bool { return it.Guard != "" }) {
		return items
	}
	var out []classItem
	for _, group := range grouped(items, func(c xds.Class) xds.Class { c.Guard = ""; return c }) {
		if len(group) > 1 && agree(group) {
			group[0].Guard = ""
			group = group[:1]
		}
		nameRest(group)
		out = append(out, group...)
	}
	return out
}

func nameRest(group []classItem) {
	if len(group) < 2 {
		return
	}
	for i := range group {
		if group[i].Guard == "" {
			group[i].Guard = "any other request"
		}
	}
}

// join drops the lists of a dimension where all values of it agree.
func (d dimension) join(items []classItem) []classItem {
	var out []classItem
	for _, group := range grouped(items, d.without) {
		if len(group) > 1 && agree(group) && d.whole(group) {
			group[0].Class = d.without(group[0].Class)
			group = group[:1]
		}
		out = append(out, group...)
	}
	return out
}

// whole reports whether a group holds all values of a dimension: the class of all
// but some names, and those names.
func (d dimension) whole(group []classItem) bool {
	rest := d.union(group)
	only, not := d.lists(&rest)
	return len(*only) == 0 && len(*not) == 0
}

// lump makes one class of those that are in and differ in this dimension only.
func (d dimension) lump(items []classItem) []classItem {
	var out []classItem
	for _, group := range grouped(items, d.without) {
		var in []classItem
		for _, it := range group {
			if it.in {
				in = append(in, it)
			}
		}
		if len(in) > 0 {
			out = append(out, classItem{d.union(in), true})
		}
		for _, it := range group {
			if !it.in {
				out = append(out, it)
			}
		}
	}
	return out
}

// union of classes that differ in d only: names, or all but names.
func (d dimension) union(items []classItem) xds.Class {
	names := map[string]bool{}
	var except []string
	other := false
	for _, it := range items {
		only, not := d.lists(&it.Class)
		for _, n := range *only {
			names[n] = true
		}
		if len(*only) == 0 {
			other, except = true, *not
		}
	}
	out := d.without(items[0].Class)
	only, not := d.lists(&out)
	if other {
		*not = slices.DeleteFunc(slices.Clone(except), func(n string) bool { return names[n] })
		return out
	}
	for n := range names {
		*only = append(*only, n)
	}
	slices.Sort(*only)
	return out
}

func (d dimension) without(c xds.Class) xds.Class {
	only, not := d.lists(&c)
	*only, *not = nil, nil
	return c
}

// grouped puts classes together that are equal after project, in order of first
// appearance.
func grouped(items []classItem, project func(xds.Class) xds.Class) [][]classItem {
	at := map[string]int{}
	var out [][]classItem
	for _, it := range items {
		k := classKey(project(it.Class))
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], it)
	}
	return out
}

func agree(items []classItem) bool {
	return !slices.ContainsFunc(items, func(it classItem) bool { return it.in != items[0].in })
}

// classKey is equal for equal classes only.
func classKey(c xds.Class) string {
	parts := []string{string(c.Kind), c.Guard}
	for _, list := range [][]string{c.SNI, c.SNINot, c.ALPN, c.ALPNNot, c.Hosts, c.HostsNot} {
		parts = append(parts, strings.Join(list, "\x01"))
	}
	return strings.Join(parts, "\x00")
}
