package traffic

import (
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// request is an HTTP request as the codec hands it on.
type request struct {
	proto   xds.SignalKind
	method  string
	path    string // with query
	host    string
	hasHost bool
	headers map[string]string // lower-case names; without host
	secure  bool              // it came out of TLS
	unread  string            // why the request cannot be evaluated, else ""
}

// newRequest fills in what a signal leaves out: GET, "/".
func newRequest(s xds.Signal) *request {
	r := &request{proto: s.Kind, method: s.Method, path: s.Path, host: s.Host, hasHost: s.Host != "", headers: map[string]string{}}
	if r.method == "" {
		r.method = "GET"
	}
	if r.path == "" {
		r.path = "/"
	}
	for k, v := range s.Headers {
		r.headers[strings.ToLower(k)] = v
	}
	if h, ok := r.headers["host"]; ok {
		r.host, r.hasHost = h, true
		delete(r.headers, "host")
	}
	return r
}

// parseRequest reads the head of an HTTP/1 request; nil if it is not whole or not
// well formed. What follows an h2c preface is not read.
func parseRequest(b []byte, line string) *request {
	if line == string(xds.H2C) {
		return &request{proto: xds.H2C, unread: "HTTP/2 frames given as bytes are not evaluated"}
	}
	head, _, ok := strings.Cut(string(b), "\r\n\r\n")
	if !ok {
		return nil
	}
	lines := strings.Split(head, "\r\n")
	first := strings.Split(lines[0], " ")
	if len(first) != 3 {
		return nil
	}
	r := &request{proto: xds.SignalKind(line), method: first[0], path: first[1], headers: map[string]string{}}
	for _, l := range lines[1:] {
		k, v, ok := strings.Cut(l, ":")
		if !ok || !isToken(k) {
			return nil
		}
		k, v = strings.ToLower(k), strings.Trim(v, " \t")
		if k == "host" {
			r.host, r.hasHost = v, true
			continue
		}
		if old, ok := r.headers[k]; ok {
			v = old + "," + v
		}
		r.headers[k] = v
	}
	return r
}

// over is the request in another protocol.
func (r *request) over(p xds.SignalKind) *request {
	out := *r
	out.proto = p
	return &out
}

// header returns a header or pseudo-header as route matching sees it.
func (r *request) header(name string) (string, bool) {
	switch name {
	case ":authority", "host":
		return r.host, r.hasHost
	case ":path":
		return r.path, true
	case ":method":
		return r.method, true
	case ":scheme":
		return r.scheme(), true
	case "x-forwarded-proto":
		if v, ok := r.headers[name]; ok {
			return v, true
		}
		return r.scheme(), true
	}
	v, ok := r.headers[name]
	return v, ok
}

func (r *request) scheme() string {
	if r.secure {
		return "https"
	}
	return "http"
}

// madeByEnvoy are headers that Envoy sets itself before it routes.
func madeByEnvoy(name string) bool {
	switch name {
	case "x-request-id", "x-forwarded-for", "x-envoy-internal", "x-envoy-external-address", "x-forwarded-client-cert", "x-envoy-decorator-operation":
		return true
	}
	return false
}

// pathOnly is the path without query and fragment.
func (r *request) pathOnly() string {
	if i := strings.IndexAny(r.path, "?#"); i >= 0 {
		return r.path[:i]
	}
	return r.path
}

// query returns the first value of a query parameter.
func (r *request) query(name string) (string, bool) {
	_, q, ok := strings.Cut(r.path, "?")
	if !ok {
		return "", false
	}
	q, _, _ = strings.Cut(q, "#")
	for _, kv := range strings.Split(q, "&") {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v, true
		}
	}
	return "", false
}

// portStart is where ":port" begins in an authority, -1 if it has none
// (source/common/http/header_utility.cc).
func portStart(host string) int {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.Contains(host[i:], "]") {
		return -1
	}
	// An IPv6 literal has its brackets; more than one colon outside is no port.
	if !strings.HasSuffix(host[:i], "]") && strings.Contains(host[:i], ":") {
		return -1
	}
	for _, c := range []byte(host[i+1:]) {
		if !digit(c) {
			return -1
		}
	}
	return i
}

// validAuthority is the codec's check of a host.
func validAuthority(h string) bool {
	for i := 0; i < len(h); i++ {
		if c := h[i]; !alpha(c) && !digit(c) && strings.IndexByte("!$%&'()*+,-.:;=@[]_~", c) < 0 {
			return false
		}
	}
	return true
}

// methods are those that the HTTP/1 codec takes
// (source/common/http/http1/balsa_parser.cc).
var methods = func() map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(`ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH
		NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE M-SEARCH`) {
		m[n] = true
	}
	return m
}()

// absolute takes a URL in absolute form apart: its authority wins over Host.
func (r *request) absolute() {
	scheme, rest, ok := strings.Cut(r.path, "://")
	if !ok || r.method == "CONNECT" || strings.HasPrefix(r.path, "/") || !isScheme(scheme) {
		return
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		r.host, r.path = rest, "/"
	case rest[i] == '?':
		r.host, r.path = rest[:i], "/"+rest[i:]
	default:
		r.host, r.path = rest[:i], rest[i:]
	}
	r.hasHost = true
}
