package record

import (
	"regexp"
	"strings"
)

// Patterns of secrets in text: what servers and clients write into error
// messages, and people into metadata. The last group is the secret.
var textSecrets = []*regexp.Regexp{
	regexp.MustCompile(`(?s)()-----BEGIN [A-Z0-9 ]+-----(?:.*?-----END [A-Z0-9 ]+-----|.*)`),
	regexp.MustCompile(`(?i)((?:authorization|cookie)["']?\s*[:=]\s*["']?)([^"'\r\n]+)`),
	regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=:-]{8,})`),
	regexp.MustCompile(`(?i)((?:[a-z0-9_.-]*(?:token|secret|password|passwd|passphrase)[a-z0-9_-]*|x-api-key|api[_-]?key)["']?\s*(?:=|:[ \t]?["']?|["']\s*:\s*["']?)["']?)([^\s"',;&})\]]+)`),
	regexp.MustCompile(`(?i)(\b(?:key|name)\s*:\s*["']?[a-z0-9_-]*(?:authorization|cookie|token|secret|password|api-?key)[a-z0-9_-]*["']?\s*[\n,]\s*(?:raw_?)?value\s*:\s*["']?)([^\s"',}\]][^\r\n"']*)`),
	// Expressions (CEL): request.headers["authorization"] == "…", either way round, and in […].
	regexp.MustCompile(`(?i)(\[\s*["'][a-z0-9_-]*(?:authorization|cookie|token|secret|password|api-?key)[a-z0-9_-]*["']\s*\]\s*(?:[=!]=|\.\s*[a-z]+\s*\()\s*[rb]{0,2}["'])([^"']+)`),
	regexp.MustCompile(`(?i)(\[\s*["'][a-z0-9_-]*(?:authorization|cookie|token|secret|password|api-?key)[a-z0-9_-]*["']\s*\]\s*in\s*\[)([^\]]+)`),
	regexp.MustCompile(`(?i)(["'])([^"']+)(["']\s*[=!]=\s*[a-z_.]+\[\s*["'][a-z0-9_-]*(?:authorization|cookie|token|secret|password|api-?key)[a-z0-9_-]*["']\s*\])`),
	regexp.MustCompile(`(://[^/\s:@]*:)([^@/\s]+)(@)`),
	regexp.MustCompile(`()(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)`),
}

// textHints are what a text with a secret contains, lower case: a cheap look
// before the patterns.
var textHints = []string{"-----begin ", "authorization", "cookie", "bearer", "basic ", "token", "secret", "passw", "passphrase", "api", "eyj", "://",
	"inline", "private", "credential", "user", "type_url", "typeurl", "metadata", "environment"}

// textBytes is text without a copy where there is nothing to redact.
func (r *redactor) textBytes(b []byte) []byte {
	if !suspicious(b) {
		return b
	}
	return []byte(r.text(string(b)))
}

// text redacts secrets in text that was written for people.
func (r *redactor) text(s string) string {
	if !suspicious(s) {
		return s
	}
	s = r.protoText(s)
	for _, p := range textSecrets {
		s = r.replace(p, s)
	}
	return s
}

func suspicious[T string | []byte](s T) bool {
	for _, h := range textHints {
		if containsFold(s, h) {
			return true
		}
	}
	return false
}

// containsFold looks for part, lower case, in s of any case.
func containsFold[T string | []byte](s T, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if lower(s[i]) == part[0] && equalFold(s[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

func equalFold[T string | []byte](s T, part string) bool {
	for i := range len(part) {
		if lower(s[i]) != part[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func (r *redactor) replace(p *regexp.Regexp, s string) string {
	var b strings.Builder
	at := 0
	for _, m := range p.FindAllStringSubmatchIndex(s, -1) {
		from, to := m[3], m[1] // behind the first group, to the end
		if len(m) > 4 {
			from, to = m[4], m[5]
		}
		secret := s[from:to]
		if strings.Contains(secret, Marker) || prose(s[m[2]:m[3]], secret) {
			continue
		}
		b.WriteString(s[at:from])
		b.Write(r.mark([]byte(secret)))
		at = to
	}
	if at == 0 {
		return s
	}
	b.WriteString(s[at:])
	return b.String()
}

// prose tells words and ports from secrets: "basic authentication failed",
// "max_tokens: value must be", a route "token.shop.svc.cluster.local:80".
func prose(before, secret string) bool {
	before = strings.ToLower(before)
	switch {
	case strings.HasSuffix(before, "://"), before == "":
		return false
	case strings.HasSuffix(before, ":") && strings.Contains(before, "."):
		return len(secret) <= 5 && only(secret, '0', '9')
	case strings.HasPrefix(before, "basic"), strings.HasPrefix(before, "bearer"):
		return only(secret, 'a', 'z')
	}
	return secret == "value"
}

func only(s string, from, to byte) bool {
	for i := range len(s) {
		if s[i] < from || s[i] > to {
			return false
		}
	}
	return true
}
