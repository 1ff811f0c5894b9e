package traffic

import (
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	uritemplatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

// compileTemplate compiles a path template, nil where it is not evaluated: routes
// have one as path_match_policy, RBAC as uri_template
// (source/extensions/path/uri_template_lib/uri_template_internal.cc).
func compileTemplate(c *corev3.TypedExtensionConfig) stringMatch {
	expr, ok := templateRegex(templateOf(c))
	if !ok {
		return nil
	}
	return compileRegex(expr)
}

// templateOf is the template of a path matcher, "" for one of another type.
func templateOf(c *corev3.TypedExtensionConfig) string {
	m, err := decode.Any(c.GetTypedConfig())
	if err != nil {
		return ""
	}
	t, _ := m.(*uritemplatev3.UriTemplateMatchConfig)
	return t.GetPathTemplate()
}

// The characters of a path segment, and what the operators of a template match.
const (
	segmentChars = `a-zA-Z0-9\-._~%!$&'()+,;:@`
	oneSegment   = `[` + segmentChars + `]+`
	anySegments  = `[` + segmentChars + `/]*`
)

var (
	isLiteral  = regexp.MustCompile(`^[` + segmentChars + `]+$`).MatchString
	isVariable = regexp.MustCompile(`^\{[a-zA-Z][a-zA-Z0-9_]*(=[^{}]+)?\}`).FindString
)

// templateRegex knows whole segments that are literal, * or ** or a variable, and a
// literal suffix at the end. What mixes more into one segment is read differently
// by Envoys before and after 1.39, and not known here.
func templateRegex(t string) (string, bool) {
	rest, ok := strings.CutPrefix(t, "/")
	expr := "/"
	for ok && rest != "" {
		var part string
		if part, rest, ok = templatePart(rest); !ok {
			return "", false
		}
		expr += part
		switch {
		case strings.HasPrefix(rest, "/"):
			expr, rest = expr+"/", rest[1:]
		case rest != "":
			return expr + regexp.QuoteMeta(rest), isLiteral(rest)
		}
	}
	return expr, ok
}

// templatePart takes one part off a template.
func templatePart(t string) (expr, rest string, ok bool) {
	switch {
	case strings.HasPrefix(t, "**"):
		return anySegments, t[2:], true
	case t[0] == '*':
		return oneSegment, t[1:], true
	case t[0] == '{':
		v := isVariable(t)
		if v == "" {
			return "", "", false
		}
		_, pattern, has := strings.Cut(strings.Trim(v, "{}"), "=")
		if !has {
			pattern = "*"
		}
		expr, ok = templateRegex("/" + pattern)
		return strings.TrimPrefix(expr, "/"), t[len(v):], ok && !strings.HasSuffix(pattern, "/")
	}
	end := strings.IndexByte(t, '/')
	if end < 0 {
		end = len(t)
	}
	return regexp.QuoteMeta(t[:end]), t[end:], isLiteral(t[:end])
}
