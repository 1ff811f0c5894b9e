package cli

import (
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// isType reports whether a type URL is one of those that people named: lds, LDS,
// or a type URL.
func isType(typ string, names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(s string) bool {
		return strings.EqualFold(s, xds.ShortType(typ)) || xds.Canonical(s) == xds.Canonical(typ)
	})
}

func ofTypes(cs []xds.Change, names []string) []xds.Change {
	return slices.DeleteFunc(slices.Clone(cs), func(c xds.Change) bool { return !isType(c.Type, names) })
}

// listed makes lists that JSON shows as [] of those that are nil.
func listed(cs []xds.Change) []xds.Change {
	out := make([]xds.Change, len(cs))
	for i, c := range cs {
		if c.Paths == nil {
			c.Paths = []string{}
		}
		out[i] = c
	}
	return out
}
