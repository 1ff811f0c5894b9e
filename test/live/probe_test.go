package live

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// silence is how long a connection may say nothing before it counts as stalled;
// patience is for those about which there is doubt.
const (
	silence  = 900 * time.Millisecond
	patience = 4 * time.Second
)

// outcome is what one probe met.
type outcome struct {
	kind    string // reached, http, closed, hang, refused
	reached string // the address that Envoy dialled
	status  int    // http
}

func (o outcome) String() string { return fmt.Sprintf("%s %s %d", o.kind, o.reached, o.status) }

var reachedAt = regexp.MustCompile(`REACHED (\S+)`)

// probe connects as the application in the pod would, and says the first words.
func probe(q question, wait time.Duration) outcome {
	sig := q.sig
	c, err := dial(q.dst, q.src)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return outcome{kind: "refused"}
	} else if err != nil {
		return outcome{kind: "error " + err.Error()}
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(wait))
	switch sig.Kind {
	case xds.H2C:
		return probeH2(c, sig)
	case xds.TLS:
		return probeTLS(c, sig)
	}
	if _, err := c.Write(flight(sig)); err != nil {
		return outcome{kind: "closed"}
	}
	return read(c)
}

func dial(dst netip.AddrPort, src netip.Addr) (net.Conn, error) {
	d := net.Dialer{Timeout: 3 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0)), Control: func(_, _ string, rc syscall.RawConn) error {
		var err error
		cerr := rc.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_MARK, probeMark) })
		return errors.Join(cerr, err)
	}}
	return d.Dial("tcp", dst.String())
}

// flight is the first bytes of a signal.
func flight(sig xds.Signal) []byte {
	switch sig.Kind {
	case xds.ServerFirst:
		return nil
	case xds.HTTP10, xds.HTTP11:
		return request(sig)
	}
	if sig.Hex != "" {
		b, _ := hex.DecodeString(sig.Hex)
		return append(b, bytes.Repeat([]byte("a"), sig.Pad)...)
	}
	return []byte("\x01\x02hello\n")
}

func request(sig xds.Signal) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", or(sig.Method, "GET"), or(sig.Path, "/"), strings.ToUpper(string(sig.Kind)))
	fmt.Fprintf(&b, "Host: %s\r\n", or(sig.Host, "unknown.example"))
	for k, v := range sig.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// heard keeps what a connection said.
type heard struct {
	net.Conn
	bytes []byte
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	h.bytes = append(h.bytes, p[:n]...)
	return n, err
}

// probeTLS shakes hands; where nobody answers in TLS, what was answered counts.
// Inside it sends the request that the signal tells of, or a few bytes.
func probeTLS(c net.Conn, sig xds.Signal) outcome {
	h := &heard{Conn: c}
	inside := tls.Client(h, &tls.Config{ServerName: sig.SNI, NextProtos: sig.ALPN, InsecureSkipVerify: true})
	err := inside.Handshake()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return outcome{kind: "hang"}
	case err != nil && (len(h.bytes) == 0 || h.bytes[0] == alert):
		return outcome{kind: "closed"}
	case err != nil:
		return answered(c, h.bytes)
	case sig.Host != "" && inside.ConnectionState().NegotiatedProtocol == "h2":
		return probeH2(inside, sig)
	}
	sig.Kind = xds.HTTP11
	if sig.Host == "" {
		sig.Kind = xds.Bytes
	}
	if _, err := inside.Write(flight(sig)); err != nil {
		return outcome{kind: "closed"}
	}
	return read(inside)
}

// alert is the type of a TLS record that says no more than that it is over.
const alert = 21

// read waits for the first answer and names it.
func read(c net.Conn) outcome {
	buf := make([]byte, 4096)
	n, err := io.ReadAtLeast(c, buf, 1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return outcome{kind: "hang"}
	} else if n == 0 || buf[0] == alert {
		return outcome{kind: "closed"}
	}
	return answered(c, buf[:n])
}

// answered reads on for a moment.
func answered(c net.Conn, said []byte) outcome {
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	buf := make([]byte, 4096)
	for !reachedAt.Match(said) && len(said) < len(buf) {
		n, err := c.Read(buf)
		said = append(said, buf[:n]...)
		if err != nil {
			break
		}
	}
	return name(string(said))
}

func name(answer string) outcome {
	if m := reachedAt.FindStringSubmatch(answer); m != nil {
		return outcome{kind: "reached", reached: strings.TrimSpace(m[1])}
	}
	if f := strings.Fields(answer); len(f) > 1 && strings.HasPrefix(f[0], "HTTP/1.") {
		code, _ := strconv.Atoi(f[1])
		return outcome{kind: "http", status: code}
	}
	return outcome{kind: "data"}
}

// probeH2 speaks cleartext HTTP/2 with prior knowledge.
func probeH2(conn net.Conn, sig xds.Signal) outcome {
	c := &heard{Conn: conn}
	fr := http2.NewFramer(c, c)
	fr.SetMaxReadFrameSize(1 << 14)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", or(sig.Method, "GET")}, {":scheme", "http"}, {":path", or(sig.Path, "/")}, {":authority", or(sig.Host, "unknown.example")}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for k, v := range sig.Headers {
		_ = enc.WriteField(hpack.HeaderField{Name: strings.ToLower(k), Value: v})
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return outcome{kind: "closed"}
	}
	_ = fr.WriteSettings()
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	return readH2(c, fr)
}

func readH2(c *heard, fr *http2.Framer) outcome {
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	status, body := 0, ""
	for {
		f, err := fr.ReadFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return outcome{kind: "hang"}
		case err != nil && strings.Contains(body, "REACHED"):
			return name(body)
		case err != nil && len(c.bytes) > 0 && c.bytes[0] == alert:
			return outcome{kind: "closed"}
		case errors.Is(err, http2.ErrFrameTooLarge): // somebody answered in another language
			return answered(c.Conn, c.bytes)
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET):
			return outcome{kind: "data"}
		case err != nil:
			return outcome{kind: "closed"}
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			status, _ = strconv.Atoi(f.PseudoValue("status"))
			if f.StreamEnded() {
				return outcome{kind: "http", status: status}
			}
		case *http2.DataFrame:
			body += string(f.Data())
			if f.StreamEnded() || strings.Contains(body, "REACHED") {
				if o := name(body); o.kind == "reached" {
					return o
				}
				return outcome{kind: "http", status: status}
			}
		case *http2.GoAwayFrame:
			return outcome{kind: "closed"}
		}
	}
}
