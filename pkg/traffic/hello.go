package traffic

import "strings"

// hello is what a ClientHello says about where to go.
type hello struct {
	sni  string // lower case
	alpn []string
}

// maxHello is how large a ClientHello may be, unless configured smaller
// (TLS_MAX_CLIENT_HELLO in tls_inspector.h).
const maxHello = 16 << 10

// parseHello reads a ClientHello out of TLS records. A nil hello with decided
// means: this is not TLS. Under 5 bytes nothing is decided.
func parseHello(b []byte, limit int) (*hello, progress) {
	if len(b) < 5 {
		return nil, waiting
	}
	if b[0]&0x80 != 0 && b[2] == 1 && b[3] == 3 {
		return nil, sslv2(b)
	}
	if b[0] != 22 || b[1] != 3 || recordSize(b) > maxRecord {
		return nil, decided
	}
	body, st := handshake(b)
	if st == waiting && len(b) >= limit {
		return nil, closing
	}
	if st != decided {
		return nil, st
	}
	if len(b) > limit {
		return nil, unclear
	}
	h, ok := readHello(body)
	if !ok {
		return nil, unclear
	}
	return h, decided
}

// maxRecord is what no TLS library takes for a record (SSL3_RT_MAX_ENCRYPTED_LENGTH
// of BoringSSL, TLS 1.2).
const maxRecord = 1<<14 + 2048

func recordSize(b []byte) int { return int(b[3])<<8 | int(b[4]) }

// sslv2 is a hello in the form of SSL 2: it waits for the length that it names.
func sslv2(b []byte) progress {
	if len(b) < 2+int(b[0]&0x7f)<<8+int(b[1]) {
		return waiting
	}
	return unclear
}

// handshake joins records, each read when it is whole, until the first handshake
// message is. What is malformed is left unclear.
func handshake(b []byte) ([]byte, progress) {
	var msg []byte
	for len(b) >= 5 {
		n := recordSize(b)
		if b[0] != 22 || b[1] != 3 || n == 0 || n > 1<<14 {
			return nil, unclear
		}
		if len(b) < 5+n {
			return nil, waiting
		}
		msg = append(msg, b[5:5+n]...)
		b = b[5+n:]
		if msg[0] != 1 {
			return nil, unclear
		}
		if len(msg) < 4 {
			continue
		}
		if want := 4 + (int(msg[1])<<16 | int(msg[2])<<8 | int(msg[3])); len(msg) >= want {
			return msg[4:want], decided
		}
	}
	return nil, waiting
}

// cursor reads length-prefixed fields; bad is set once and for all.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) num(bytes int) int {
	n := 0
	for _, x := range c.take(bytes) {
		n = n<<8 | int(x)
	}
	return n
}

func (c *cursor) vec(bytes int) *cursor { return &cursor{b: c.take(c.num(bytes))} }

func readHello(b []byte) (*hello, bool) {
	c := &cursor{b: b}
	c.take(2 + 32)
	c.vec(1)
	c.vec(2)
	c.vec(1)
	h := &hello{}
	if c.bad {
		return nil, false
	}
	if len(c.b) == 0 {
		return h, true
	}
	ext := c.vec(2)
	for len(ext.b) > 0 && !ext.bad {
		typ := ext.num(2)
		h.extension(typ, ext.vec(2))
	}
	return h, !c.bad && !ext.bad
}

func (h *hello) extension(typ int, body *cursor) {
	const serverName, alpn = 0, 16
	switch typ {
	case serverName:
		list := body.vec(2)
		if list.num(1) == 0 {
			h.sni = strings.ToLower(string(list.vec(2).b))
		}
	case alpn:
		list := body.vec(2)
		for len(list.b) > 0 && !list.bad {
			h.alpn = append(h.alpn, string(list.vec(1).b))
		}
	}
}
