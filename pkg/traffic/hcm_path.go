package traffic

import (
	"fmt"
	"strings"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// What the connection manager makes of path and host before it routes
// (ConnectionManagerUtility::maybeNormalizePath and maybeNormalizeHost in
// source/common/http/conn_manager_utility.cc, source/common/http/path_utility.cc).

func (h *hcm) path(q *request) (xds.Verdict, bool) {
	if q.method == "CONNECT" {
		return xds.Verdict{}, false
	}
	if !strings.HasPrefix(q.path, "/") {
		return xds.Verdict{Kind: xds.NoRoute, Reason: "the path does not begin with a slash"}, true
	}
	if strings.Contains(q.path, "#") {
		return local(400, "the path has a fragment"), true
	}
	p, query, hasQuery := strings.Cut(q.path, "?")
	if vd, ends := h.escapes(&p); ends {
		return vd, true
	}
	if h.normalize {
		if vd, ends := normalized(&p); ends {
			return vd, true
		}
	}
	if h.merge {
		p = mergeSlashes(p)
	}
	q.path = p
	if hasQuery {
		q.path += "?" + query
	}
	return xds.Verdict{}, false
}

func (h *hcm) escapes(p *string) (xds.Verdict, bool) {
	low := strings.ToLower(*p)
	if !strings.Contains(low, "%2f") && !strings.Contains(low, "%5c") {
		return xds.Verdict{}, false
	}
	switch h.slashes {
	case hcmv3.HttpConnectionManager_REJECT_REQUEST:
		return local(400, "the path has escaped slashes"), true
	case hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT:
		return local(307, "the path has escaped slashes"), true
	case hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD:
		*p = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", "\\", "%5C", "\\").Replace(*p)
	}
	return xds.Verdict{}, false
}

// normalized does what normalize_path does.
func normalized(p *string) (xds.Verdict, bool) {
	for i := range len(*p) {
		if (*p)[i] >= 0x80 {
			return unknown("normalising a path with bytes above 127 is not evaluated"), true
		}
	}
	c, ok := canonical(*p)
	if !ok {
		return local(400, "the path has an escaped NUL"), true
	}
	*p = dotless(c)
	return xds.Verdict{}, false
}

// canonical rewrites the characters of a path: a backslash is a slash, letters,
// digits and -._~ are not escaped, what is special in a URL is. An escape that is
// none stays as it is, and so does one of any other character; that of NUL makes
// the path invalid (CanonicalizePath in Chromium's url/url_canon_path.cc, as Envoy links it).
func canonical(p string) (string, bool) {
	if !strings.ContainsAny(p, "%\\\"<>^`{|} ") {
		return p, true
	}
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\':
			b.WriteByte('/')
		case c == '%':
			d, ok := unescaped(p[i:])
			if ok && d == 0 {
				return "", false
			}
			if ok && plainInPath(d) {
				b.WriteByte(d)
				i += 2
				continue
			}
			b.WriteByte('%')
		case c <= ' ' || c == 127 || strings.IndexByte("\"<>^`{|}", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

// unescaped is the byte that %XX at the start of s stands for.
func unescaped(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	hi, ok := hexDigit(s[1])
	lo, ok2 := hexDigit(s[2])
	return hi<<4 | lo, ok && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case digit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return (c | 0x20) - 'a' + 10, true
	}
	return 0, false
}

func plainInPath(c byte) bool {
	return alpha(c) || digit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// dotless resolves . and .. segments.
func dotless(p string) string {
	var out []string
	segs := strings.Split(p[1:], "/")
	for i, s := range segs {
		last := i == len(segs)-1
		switch s {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}

// mergeSlashes makes one slash of several; of slashes alone two are left.
func mergeSlashes(p string) string {
	if len(p) > 1 && strings.Trim(p, "/") == "" {
		return "//"
	}
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

// strip takes port and last dot off the host.
func (h *hcm) strip(q *request, port uint16) {
	if q.method != "CONNECT" {
		if i := portStart(q.host); i >= 0 && (h.stripAny || h.stripOwn && q.host[i+1:] == itoa(port)) {
			q.host = q.host[:i]
		}
	}
	if !h.stripDot {
		return
	}
	host, port2 := q.host, ""
	if i := portStart(host); i >= 0 {
		host, port2 = host[:i], host[i:]
	}
	q.host = strings.TrimSuffix(host, ".") + port2
}
