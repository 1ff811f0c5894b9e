package traffic

import (
	"cmp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// redacted stands before the hash that replaces a secret in a recording. Of what
// carries a header, cookie or parameter that is compared with a secret nothing is
// known; what carries none is decided as ever.
const redacted = "xdsproxy-redacted:"

func hiddenHeader(m *routev3.HeaderMatcher) bool {
	return hiddenString(m.GetStringMatch()) || strings.HasPrefix(cmp.Or(m.GetExactMatch(), m.GetPrefixMatch(), m.GetSuffixMatch(),
		m.GetContainsMatch(), m.GetSafeRegexMatch().GetRegex()), redacted)
}

func hiddenString(m *matcherv3.StringMatcher) bool {
	return strings.HasPrefix(cmp.Or(m.GetExact(), m.GetPrefix(), m.GetSuffix(), m.GetContains(), m.GetSafeRegex().GetRegex()), redacted)
}

func notRecorded(what, name string) string {
	return "the value of the matcher on " + what + " " + name + " was not recorded"
}

// doubt is why it is not known whether the matcher takes a request, "" if it is. A
// missing header that counts as an empty one is compared, too.
func (h *headerMatch) doubt(q *request) string {
	if h.unsure != "" || !h.hidden {
		return h.unsure
	}
	if _, ok := q.header(h.name); ok || h.empty {
		return notRecorded("header", h.name)
	}
	return ""
}
