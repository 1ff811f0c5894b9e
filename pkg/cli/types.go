package cli

import (
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// isType reports whether a type URL is one of those that people named: lds, LDS,
// listener, or a type URL.
func isType(typ string, names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(s string) bool {
		return strings.EqualFold(s, xds.ShortType(typ)) || xds.Canonical(s) == xds.Canonical(typ) || isNoun(typ, s)
	})
}

// isNoun reports whether s is a noun of get, or short for one, that means the type.
func isNoun(typ, s string) bool {
	return slices.ContainsFunc(getKinds(), func(k getKind) bool {
		return k.typ == xds.Canonical(typ) && (k.noun == s || slices.Contains(k.aliases, s))
	})
}

// typedName reads TYPE/NAME, where a type URL may stand for TYPE.
func typedName(s string) (xds.Resource, bool) {
	prefix, rest := "", s
	if strings.HasPrefix(s, xds.TypePrefix) {
		prefix, rest = xds.TypePrefix, strings.TrimPrefix(s, xds.TypePrefix)
	}
	typ, name, ok := strings.Cut(rest, "/")
	return xds.Resource{Type: prefix + typ, Name: name}, ok && typ != "" && name != ""
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
