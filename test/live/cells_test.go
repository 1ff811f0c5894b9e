package live

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// This file reads cells as a reader of the documentation would; nothing in it is
// taken from pkg/traffic.

// names are what the configurations tell apart: the points that cells speak of.
type names struct{ snis, alpns, hosts []string }

// namesIn collects the names that stand anywhere in dumps: a name that is not
// written in a cell is in the cell of the most specific pattern that covers it.
func namesIn(dumps ...[]byte) names {
	var n names
	for _, d := range dumps {
		var v any
		_ = json.Unmarshal(d, &v)
		n.walk(v)
	}
	return n
}

func (n *names) walk(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			n.walk(x)
		}
	case map[string]any:
		n.take(&n.snis, v["server_names"])
		n.take(&n.alpns, v["application_protocols"])
		n.take(&n.hosts, v["domains"])
		n.matcher(v)
		for _, x := range v {
			n.walk(x)
		}
	}
}

// matcher takes what matchers compare with, whatever they look at.
func (n *names) matcher(v map[string]any) {
	var all []any
	if m, ok := v["exact_match_map"].(map[string]any); ok {
		keys, _ := m["map"].(map[string]any)
		for k := range keys {
			all = append(all, strings.Trim(strings.Split(k, ",")[0], "'"))
		}
	}
	if e, ok := v["exact"].(string); ok {
		all = append(all, strings.Trim(strings.Split(e, ",")[0], "'"))
	}
	for _, list := range []*[]string{&n.snis, &n.alpns, &n.hosts} {
		n.take(list, all)
	}
}

func (n *names) take(list *[]string, v any) {
	all, _ := v.([]any)
	for _, x := range all {
		if s, ok := x.(string); ok && !slices.Contains(*list, strings.ToLower(s)) {
			*list = append(*list, strings.ToLower(s))
		}
	}
}

// covers reports whether a pattern covers a name: exactly, by its end, or by its begin.
func covers(pattern, name string) bool {
	switch {
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(name, pattern[1:]) && len(name) > len(pattern)-1
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(name, pattern[:len(pattern)-1]) && len(name) > len(pattern)-1
	}
	return pattern == name
}

// rank orders patterns that cover one name: exact, then by the end, then by the
// begin, longer ones first.
func rank(pattern string) int {
	switch {
	case !strings.Contains(pattern, "*"):
		return 2000
	case strings.HasPrefix(pattern, "*"):
		return 1000 + len(pattern)
	}
	return len(pattern)
}

// nameIn reports whether a name belongs to a list, or to all but another. A more
// specific pattern that is nowhere in the cell may stand for the name all the same:
// then nobody can tell from the cell alone, and sure is false.
func nameIn(only, not, known []string, name string) (in, sure bool) {
	name = strings.ToLower(name)
	best := func(list []string) int {
		r := -1
		for _, p := range list {
			if covers(strings.ToLower(p), name) {
				r = max(r, rank(p))
			}
		}
		return r
	}
	list := only
	if len(only) == 0 {
		list = not
	}
	at, any := best(list), best(known)
	in = (at >= 0) == (len(only) > 0)
	return in, len(list) == 0 || at >= any
}

// standing is what can be said about a destination and a cell.
type standing int

const (
	outside standing = iota
	maybe
	inCell
)

func in(c xds.Cell, n names, q question) standing {
	if !portIn(c.Ports, q.dst.Port()) || !addrIn(c.Destinations, q.dst.Addr()) || addrIn(c.Except, q.dst.Addr()) {
		return outside
	}
	if c.Signals == nil {
		return inCell
	}
	out := outside
	for _, k := range c.Signals {
		out = max(out, classIn(k, n, q.sig))
	}
	return out
}

func classIn(k xds.Class, n names, sig xds.Signal) standing {
	if k.Kind != sig.Kind {
		return outside
	}
	out := inCell
	for _, part := range []struct {
		only, not, known []string
		name             string
	}{{k.SNI, k.SNINot, n.snis, sig.SNI}, {k.ALPN, k.ALPNNot, n.alpns, strings.Join(sig.ALPN, ",")}, {k.Hosts, k.HostsNot, n.hosts, sig.Host}} {
		is, sure := nameIn(part.only, part.not, part.known, part.name)
		if !is && sure {
			return outside
		}
		if !sure {
			out = maybe
		}
	}
	if k.Guard != "" { // the rest is in words
		out = maybe
	}
	return out
}

func portIn(text string, port uint16) bool {
	for part := range strings.SplitSeq(text, ",") {
		lo, hi, ranged := strings.Cut(part, "-")
		if !ranged {
			hi = lo
		}
		a, err1 := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		if text == "*" || err1 == nil && err2 == nil && a <= int(port) && int(port) <= b {
			return true
		}
	}
	return false
}

func addrIn(prefixes []string, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return netip.MustParsePrefix(p).Contains(a) })
}
