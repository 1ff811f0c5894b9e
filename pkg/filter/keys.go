package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// key is one row of the language: how a value is read, and what it fits.
type key struct {
	name    string
	rank    int
	help    string
	example string
	parse   func(text string) (value, error)
}

// keys is the language, in the order in which filters are printed.
var keys = ranked([]key{
	{name: "kind", help: "of event: capture, dead-capture, nack, ... (globs)", example: "kind:capture,dead-capture", parse: parseKind},
	{name: "severity", help: "of event: high, or a range: high.., info..low", example: "severity:high..", parse: parseSeverity},
	{name: "type", help: "of push, version or rejected resource: lds, or a type URL", example: "type:lds,cds", parse: parseType},
	{name: "name", help: "of a resource, listener or cluster (globs)", example: "name:*_3306", parse: text(func(f *Facts) []string { return f.Names }, false)},
	{name: "port", help: "of destinations, or in a name: 3306, 3000..3999", example: "port:3306 or port:3000..3999", parse: parsePort},
	{name: "address", help: "of destinations, or in a name: IP, CIDR, range A..B", example: "address:10.10.13.110 or address:10.0.0.0/8", parse: parseAddress},
	{name: "fqdn", help: "host of a service (globs)", example: "fqdn:*.demo", parse: text(func(f *Facts) []string { return f.Hosts }, true)},
	{name: "sidecar", help: "as displayed: web-1.shop (globs)", example: "sidecar:web-*", parse: text(func(f *Facts) []string { return f.Sidecars }, false)},
	{name: "namespace", help: "of the sidecar (globs)", example: "namespace:shop", parse: text(func(f *Facts) []string { return f.Namespaces }, false)},
	{name: "cause", help: "owner Kind/namespace/name, user or tool (globs)", example: "cause:ServiceEntry/other/*", parse: text(func(f *Facts) []string { return f.Causes }, false)},
})

func ranked(ks []key) []key {
	for i := range ks {
		ks[i].rank = i
	}
	return ks
}

func find(name string) *key {
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &keys[i]
}

// Keys lists the keys, with commas.
func Keys() string {
	var out []string
	for _, k := range keys {
		out = append(out, k.name)
	}
	return strings.Join(out, ", ")
}

// Help lists the keys, a line each, indented by two spaces.
func Help() string {
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "  %-11s %s\n", k.name+":", k.help)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// text makes the parser of keys whose values are globs over texts.
func text(of func(*Facts) []string, fold bool) func(string) (value, error) {
	return func(pattern string) (value, error) {
		if fold {
			pattern = strings.ToLower(pattern)
		}
		return value{text: pattern, meets: func(f *Facts) bool {
			return slices.ContainsFunc(of(f), func(s string) bool {
				if fold {
					s = strings.ToLower(s)
				}
				return glob(pattern, s)
			})
		}}, nil
	}
}

func parseKind(pattern string) (value, error) {
	fits := func(k xds.EventKind) bool { return glob(pattern, string(k)) }
	if !slices.ContainsFunc(xds.EventKinds, fits) {
		return value{}, fmt.Errorf("no kind of event is called so; there are %s", joined(xds.EventKinds))
	}
	return value{text: pattern, meets: func(f *Facts) bool { return slices.ContainsFunc(f.Kinds, fits) }}, nil
}

func joined[T ~string](words []T) string {
	var out []string
	for _, w := range words {
		out = append(out, string(w))
	}
	return strings.Join(out, ", ")
}

func parseSeverity(s string) (value, error) {
	from, to, ranged := strings.Cut(s, "..")
	lo, hi := xds.Severity(from).Rank(), xds.Severity(to).Rank()
	switch {
	case !ranged:
		hi = lo
	case from == "" && to != "":
		lo = 0
	case to == "" && from != "":
		hi = len(xds.Severities) - 1
	}
	if lo < 0 || hi < lo {
		return value{}, fmt.Errorf("severities are %s, rising", joined(xds.Severities))
	}
	return value{text: s, meets: func(f *Facts) bool {
		return slices.ContainsFunc(f.Severities, func(x xds.Severity) bool { return lo <= x.Rank() && x.Rank() <= hi })
	}}, nil
}

func parseType(s string) (value, error) {
	typ := literal(s)
	return value{text: s, meets: func(f *Facts) bool {
		return slices.ContainsFunc(f.Types, func(t string) bool {
			return strings.EqualFold(typ, xds.ShortType(t)) || xds.Canonical(typ) == xds.Canonical(t)
		})
	}}, nil
}

func parsePort(s string) (value, error) {
	from, to, ranged := strings.Cut(s, "..")
	if !ranged {
		to = from
	}
	lo, err := strconv.ParseUint(from, 10, 16)
	hi, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || hi < lo || hi == 0 {
		return value{}, fmt.Errorf("not a port, or range of ports")
	}
	return value{text: s, meets: func(f *Facts) bool {
		return slices.ContainsFunc(f.Ports, func(p Ports) bool { return uint64(p.First) <= hi && lo <= uint64(p.Last) })
	}}, nil
}
