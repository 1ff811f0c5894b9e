package traffic

import (
	"regexp/syntax"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// exampleOf is a string that a matcher takes, where one is easily made.
func exampleOf(m *matcherv3.StringMatcher) (string, bool) {
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return p.Exact, true
	case *matcherv3.StringMatcher_Prefix:
		return p.Prefix, true
	case *matcherv3.StringMatcher_Suffix:
		return p.Suffix, true
	case *matcherv3.StringMatcher_Contains:
		return p.Contains, true
	case *matcherv3.StringMatcher_SafeRegex:
		return regexExample(p.SafeRegex.GetRegex())
	}
	return "", false
}

// regexExample makes the shortest simple string that an expression takes.
func regexExample(expr string) (string, bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	write(&b, re.Simplify())
	match := compileRegex(expr)
	return b.String(), match != nil && match(b.String())
}

func write(b *strings.Builder, re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(visible(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpPlus, syntax.OpCapture, syntax.OpAlternate:
		write(b, re.Sub[0])
	case syntax.OpRepeat:
		for i := 0; i < re.Min && i < 64; i++ {
			write(b, re.Sub[0])
		}
	case syntax.OpConcat:
		for _, s := range re.Sub {
			write(b, s)
		}
	}
}

// visible picks a harmless member of a class.
func visible(ranges []rune) rune {
	for _, want := range "a0A-_x/" {
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= want && want <= ranges[i+1] {
				return want
			}
		}
	}
	if len(ranges) == 0 {
		return 'x'
	}
	return ranges[0]
}
