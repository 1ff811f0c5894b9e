package traffic

import (
	"encoding/hex"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// flight is what a client sends first, as far as anything here asks about it.
type flight struct {
	kind   xds.SignalKind
	opaque bool   // what came out of TLS: nothing is known about it
	exact  bool   // raw holds the very bytes; otherwise they stand for their kind
	raw    []byte // capped at maxFlight
	size   int    // of the first flight, raw may be shorter

	hello *hello   // a complete TLS ClientHello
	line  string   // what an HTTP inspector would find: http/1.1, http/1.0, h2c, ""
	req   *request // the request as an HTTP codec reads it, nil if it is none (or not whole)
	inner *request // what is said inside TLS, where the signal tells
}

// maxFlight bounds how many bytes of a first flight are looked at: more than the
// largest request line that Envoy accepts.
const maxFlight = 128 << 10

// newFlight reads what a signal says. A signal with Hex is classified by its bytes.
func newFlight(s xds.Signal) flight {
	if s.Hex != "" || s.Pad > 0 {
		return rawFlight(s)
	}
	f := flight{kind: s.Kind, size: 64}
	switch s.Kind {
	case xds.ServerFirst:
		f.size = 0
	case xds.TLS:
		f.hello = &hello{sni: strings.ToLower(s.SNI), alpn: s.ALPN}
		if s.Host != "" {
			f.inner = newRequest(s)
			f.inner.proto, f.inner.secure = xds.HTTP11, true
		}
	case xds.HTTP10, xds.HTTP11, xds.H2C:
		f.line = string(s.Kind)
		f.req = newRequest(s)
	}
	return f
}

func rawFlight(s xds.Signal) flight {
	b, err := hex.DecodeString(s.Hex)
	if err != nil {
		b = nil
	}
	f := flight{exact: true, size: len(b) + max(s.Pad, 0)}
	pad := min(max(s.Pad, 0), max(0, maxFlight-len(b)))
	f.raw = append(b, []byte(strings.Repeat("a", pad))...)
	f.classify()
	return f
}

// classify names the kind of the bytes.
func (f *flight) classify() {
	f.kind = xds.Bytes
	if f.size == 0 {
		f.kind = xds.ServerFirst
		return
	}
	if h, st := parseHello(f.raw, maxHello); st == decided && h != nil {
		f.kind, f.hello = xds.TLS, h
		return
	}
	line, st := requestLine(f.raw)
	if st != decided || line == "" {
		return
	}
	f.line, f.kind = line, xds.SignalKind(line)
	f.req = parseRequest(f.raw, line)
}

// progress is how far a listener filter got with the bytes it has.
type progress int

const (
	decided progress = iota
	waiting          // needs more bytes than the first flight has
	closing          // closes the connection
	unclear          // depends on more than is modelled
)

// tlsState says what a tls_inspector that takes a hello of up to limit bytes makes of f
// (source/extensions/filters/listener/tls_inspector/tls_inspector.cc).
func (f *flight) tlsState(limit int) (*hello, progress) {
	switch {
	case !f.exact && f.kind == xds.ServerFirst:
		return nil, waiting
	case !f.exact:
		return f.hello, decided
	case f.size == 0:
		return nil, waiting
	}
	return parseHello(f.raw, limit)
}

// httpState says what an http_inspector makes of f.
func (f *flight) httpState() (string, progress) {
	switch {
	case f.size == 0:
		return "", waiting
	case !f.exact:
		return f.line, decided
	}
	return requestLine(f.raw)
}

const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// maxLine is how long a request line may be before the inspector gives up
// (source/extensions/filters/listener/http_inspector/http_inspector.h).
const maxLine = 64 << 10

// requestLine does what http_inspector does: "" with decided means no HTTP. Bytes
// that no request line begins with decide at once; everything else waits for the
// end of the line (source/common/http/http1/balsa_parser.cc, quiche/balsa/balsa_frame.cc).
func requestLine(b []byte) (string, progress) {
	s := string(b[:min(len(b), maxLine+1)])
	if n := min(len(s), len(h2Preface)); s[:n] == h2Preface[:n] {
		if n < len(h2Preface) {
			return "", waiting
		}
		return string(xds.H2C), decided
	}
	if !isToken(s[:1]) {
		return "", decided
	}
	end := strings.IndexByte(s, '\n')
	if end >= 0 {
		return protocolOf(strings.TrimRight(s[:end], "\r")), decided
	}
	if len(s) > maxLine {
		return "", closing
	}
	return "", unfinishedLine(s)
}

// unfinishedLine: after the method the end of the line is waited for; a NUL in the
// method decides. Other control bytes, and a method that is all there is, end one
// way or the other from run to run.
func unfinishedLine(s string) progress {
	method, _, spaced := strings.Cut(s, " ")
	for i := 0; i < len(method); i++ {
		switch c := method[i]; {
		case c == 0:
			return decided
		case !isToken(method[i : i+1]):
			return unclear
		}
	}
	if !spaced {
		return unclear
	}
	return waiting
}

// unfinished reports a request or ClientHello that begins as it should and is not
// whole, or not sound: whoever gets it waits for the rest, or hangs up.
func (f *flight) unfinished() bool {
	if !f.exact || len(f.raw) < 3 {
		return false
	}
	if f.raw[0] == 22 && f.raw[1] == 3 {
		h, _ := parseHello(f.raw, maxHello)
		return h == nil
	}
	s := string(f.raw)
	if strings.HasPrefix(s, "PRI ") {
		return len(s) < len(h2Preface) || !strings.HasPrefix(s, h2Preface)
	}
	method, _, ok := strings.Cut(s, " ")
	if !ok || !methods[method] || strings.Contains(s, "\r\n\r\n") {
		return false
	}
	line, _, whole := strings.Cut(s, "\n")
	return !whole || protocolOf(strings.TrimRight(line, "\r")) != ""
}

// protocolOf is the protocol that a whole request line gives.
func protocolOf(line string) string {
	method, rest, ok := strings.Cut(line, " ")
	if !ok || !isToken(method) {
		return ""
	}
	rest = strings.Trim(rest, " ")
	uri, version := rest, ""
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		uri, version = strings.TrimRight(rest[:i], " "), rest[i+1:]
	}
	if !validURL(uri, method == "CONNECT") || !validVersion(version) {
		return ""
	}
	if version == "HTTP/1.1" {
		return string(xds.HTTP11)
	}
	return string(xds.HTTP10)
}

func validVersion(v string) bool {
	return v == "" || len(v) == 8 && strings.HasPrefix(v, "HTTP/") && digit(v[5]) && v[6] == '.' && digit(v[7])
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
func alpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !alpha(s[i]) && !digit(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// validURL is the codec's check of a request target.
func validURL(u string, connect bool) bool {
	if u == "" {
		return false
	}
	if u[0] == '/' || u[0] == '*' {
		return pathChars(u[1:])
	}
	if !connect {
		scheme, rest, ok := strings.Cut(u, "://")
		if !ok || scheme == "" || !alpha(scheme[0]) || !isScheme(scheme) {
			return false
		}
		u = rest
	}
	host, path := u, ""
	if i := strings.IndexAny(u, "/?"); i >= 0 {
		host, path = u[:i], u[i:]
	}
	return hostChars(host) && !strings.Contains(host, "@@") && pathChars(path)
}

func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		if !alpha(s[i]) && !digit(s[i]) && s[i] != '+' && s[i] != '-' && s[i] != '.' {
			return false
		}
	}
	return true
}

func pathChars(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != 9 && c != 12 && (c < '!' || c == 127) {
			return false
		}
	}
	return true
}

func hostChars(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !alpha(c) && !digit(c) && strings.IndexByte("!$%&'()*+,-.:;=@[]_~", c) < 0 {
			return false
		}
	}
	return true
}
