package traffic

import (
	"regexp"
	"strings"

	xmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// stringMatch is a compiled StringMatcher; nil where it is not evaluated.
type stringMatch func(string) bool

// compileString compiles a StringMatcher (source/common/common/matchers.cc).
func compileString(m *matcherv3.StringMatcher) stringMatch {
	if hasUnknown(m) {
		return nil
	}
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return folded(m.GetIgnoreCase(), p.Exact, func(s, w string) bool { return s == w })
	case *matcherv3.StringMatcher_Prefix:
		return folded(m.GetIgnoreCase(), p.Prefix, strings.HasPrefix)
	case *matcherv3.StringMatcher_Suffix:
		return folded(m.GetIgnoreCase(), p.Suffix, strings.HasSuffix)
	case *matcherv3.StringMatcher_Contains:
		return folded(m.GetIgnoreCase(), p.Contains, strings.Contains)
	case *matcherv3.StringMatcher_SafeRegex:
		return compileRegex(p.SafeRegex.GetRegex())
	}
	return nil
}

func compileXDSString(m *xmatcherv3.StringMatcher) stringMatch {
	switch p := m.GetMatchPattern().(type) {
	case *xmatcherv3.StringMatcher_Exact:
		return folded(m.GetIgnoreCase(), p.Exact, func(s, w string) bool { return s == w })
	case *xmatcherv3.StringMatcher_Prefix:
		return folded(m.GetIgnoreCase(), p.Prefix, strings.HasPrefix)
	case *xmatcherv3.StringMatcher_Suffix:
		return folded(m.GetIgnoreCase(), p.Suffix, strings.HasSuffix)
	case *xmatcherv3.StringMatcher_Contains:
		return folded(m.GetIgnoreCase(), p.Contains, strings.Contains)
	case *xmatcherv3.StringMatcher_SafeRegex:
		return compileRegex(p.SafeRegex.GetRegex())
	}
	return nil
}

func folded(fold bool, want string, cmp func(s, want string) bool) stringMatch {
	if !fold {
		return func(s string) bool { return cmp(s, want) }
	}
	want = strings.ToLower(want)
	return func(s string) bool { return cmp(strings.ToLower(s), want) }
}

// compileRegex matches the whole string, as RE2::FullMatch does. An expression
// that does not compile is one that Envoy would reject: nil.
func compileRegex(expr string) stringMatch {
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return nil
	}
	return re.MatchString
}
