package record

//go:generate go run ./internal/gen redact_table.go

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Marker stands before the hash that replaces a secret.
const Marker = "xdsproxy-redacted:"

// redactor takes secrets out of bytes before a record is made of them. It works
// on the wire format, led by redactTypes; where there is nothing to take out it
// returns the slice it was given.
type redactor struct {
	key    []byte
	opaque Opaque
	seed   uint64 // for hashes that never leave memory
}

func newRedactor(key []byte, opaque Opaque) *redactor {
	sum := sha256.Sum256(key)
	return &redactor{key: key, opaque: opaque, seed: binary.LittleEndian.Uint64(sum[:])}
}

// mark is what stands in the place of b: it changes when b does, and tells
// nothing about b to who has not the key. A mark stays what it is, so that
// redacting twice changes nothing.
func (r *redactor) mark(b []byte) []byte {
	if marked(b) {
		return b
	}
	h := hmac.New(sha256.New, r.key)
	h.Write(b)
	return hex.AppendEncode([]byte(Marker), h.Sum(nil)[:8])
}

func marked(b []byte) bool {
	if len(b) != len(Marker)+16 || string(b[:len(Marker)]) != Marker {
		return false
	}
	_, err := hex.DecodeString(string(b[len(Marker):]))
	return err == nil
}

// any redacts an encoded google.protobuf.Any: the body of a resource.
func (r *redactor) any(b []byte) []byte { return r.message("google.protobuf.Any", b) }

// node redacts an encoded Node: its metadata is a Struct.
func (r *redactor) node(b []byte) []byte { return r.message("envoy.config.core.v3.Node", b) }

// message redacts an encoded message, or some fields of one.
func (r *redactor) message(name string, b []byte) []byte {
	t, ok := typeIndex([]byte(name))
	if !ok || len(b) == 0 {
		return b
	}
	return r.walk(t, b, walkDepth)
}

// discoveryType is the name of an envelope.
func discoveryType(delta bool, name string) string {
	if delta {
		return "envoy.service.discovery.v3.DeltaDiscovery" + name
	}
	return "envoy.service.discovery.v3.Discovery" + name
}

func (r *redactor) request(q *xds.Request) {
	if q.Error != nil {
		q.Error.Message = r.text(q.Error.Message)
		q.Error.Rest = r.message("google.rpc.Status", q.Error.Rest)
	}
	q.Rest = r.message(discoveryType(q.Delta, "Request"), q.Rest)
}

func (r *redactor) open(o *xds.Open) *xds.Open {
	if o == nil {
		return &xds.Open{}
	}
	c := *o
	c.Metadata = r.metadata(o.Metadata)
	return &c
}

func (r *redactor) close(o *xds.Close) *xds.Close {
	if o == nil {
		return &xds.Close{}
	}
	c := *o
	c.Message = r.text(o.Message)
	c.Trailer = r.metadata(o.Trailer)
	return &c
}

// metadata keeps the values of names that are known to be harmless, and the other
// names without a value. Binary values (-bin) cannot be searched.
func (r *redactor) metadata(m map[string][]string) map[string][]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string][]string, len(m))
	for k, vs := range m {
		name := strings.ToLower(k)
		grpc := strings.HasPrefix(name, "grpc-") && !strings.HasSuffix(name, "-bin")
		kept := []string{}
		if grpc || slices.Contains([]string{":authority", "content-type", "user-agent", "clusterid"}, name) {
			for _, v := range vs {
				kept = append(kept, r.metadataText(name, v))
			}
		}
		out[k] = kept
	}
	return out
}

// metadataText redacts a value. Of a grpc-message, which is percent-encoded on the
// wire, that is done to what it says.
func (r *redactor) metadataText(name, v string) string {
	if name != "grpc-message" {
		return r.text(v)
	}
	says := percentDecode(v)
	safe := r.text(says)
	if safe == says {
		return v
	}
	return percentEncode(safe)
}

// percentDecode reads a grpc-message as its receivers do: what is no escape stays
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if b, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				out = append(out, b[0])
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '%' {
			fmt.Fprintf(&b, "%%%02X", s[i])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
