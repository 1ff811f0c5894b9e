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
	if sig.Kind == xds.H2C {
		return probeH2(c, sig)
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
	case xds.TLS:
		return clientHello(sig.SNI, sig.ALPN)
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

// clientHello takes the first flight from a real TLS client.
func clientHello(sni string, alpn []string) []byte {
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(theirs, &tls.Config{ServerName: sni, NextProtos: alpn, InsecureSkipVerify: true}).Handshake()
		theirs.Close()
	}()
	defer ours.Close()
	head := make([]byte, 5)
	if _, err := io.ReadFull(ours, head); err != nil {
		return nil
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(ours, body); err != nil {
		return nil
	}
	return append(head, body...)
}

// read waits for the first answer and names it.
func read(c net.Conn) outcome {
	buf := make([]byte, 4096)
	n, err := io.ReadAtLeast(c, buf, 1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return outcome{kind: "hang"}
	} else if n == 0 {
		return outcome{kind: "closed"}
	}
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	for !bytes.Contains(buf[:n], []byte("REACHED")) && n < len(buf) {
		m, err := c.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	return name(string(buf[:n]))
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
func probeH2(c net.Conn, sig xds.Signal) outcome {
	fr := http2.NewFramer(c, c)
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

func readH2(c net.Conn, fr *http2.Framer) outcome {
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	status, body := 0, ""
	for {
		f, err := fr.ReadFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return outcome{kind: "hang"}
		case err != nil && strings.Contains(body, "REACHED"):
			return name(body)
		case err != nil && strings.Contains(err.Error(), "frame too large"):
			return outcome{kind: "reached"} // a witness that did not understand HTTP/2 answered in plain text
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
