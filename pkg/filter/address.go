package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
)

// parseAddress reads an IP, a CIDR or a range. It fits where it and a set of
// addresses have one in common.
func parseAddress(s string) (value, error) {
	set, err := addressSet(s)
	if err != nil {
		return value{}, err
	}
	return value{text: s, meets: func(f *Facts) bool {
		return slices.ContainsFunc(f.Addresses, func(a Addresses) bool { return a.meets(set) })
	}}, nil
}

func (a Addresses) meets(set *netipx.IPSet) bool {
	if !slices.ContainsFunc(a.In, set.OverlapsPrefix) {
		return false
	}
	if len(a.Except) == 0 {
		return true
	}
	var b netipx.IPSetBuilder
	for _, p := range a.In {
		b.AddPrefix(p)
	}
	for _, p := range a.Except {
		b.RemovePrefix(p)
	}
	rest, err := b.IPSet()
	return err == nil && rest.Overlaps(set)
}

func addressSet(s string) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	from, to, ranged := strings.Cut(s, "..")
	switch first, err := netip.ParseAddr(from); {
	case ranged:
		last, err2 := netip.ParseAddr(to)
		r := netipx.IPRangeFrom(first, last)
		if err != nil || err2 != nil || !r.IsValid() {
			return nil, fmt.Errorf("not a range of addresses")
		}
		b.AddRange(r)
	case err == nil:
		b.AddPrefix(onePrefix(first))
	default:
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("not an IP address or CIDR")
		}
		b.AddPrefix(p.Masked())
	}
	return b.IPSet()
}
