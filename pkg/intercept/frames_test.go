package intercept

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	adsDelta = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
	adsSotW  = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
)

// handmade is a connection whose frames a test writes itself.
type handmade struct {
	*Conn
	up, down frameWriter
}

// frameWriter writes frames of one direction and feeds them.
type frameWriter struct {
	*http2.Framer
	buf  *bytes.Buffer
	hp   *hpack.Encoder
	hbuf *bytes.Buffer
	side *Side
}

func newFrameWriter(s *Side) frameWriter {
	w := frameWriter{buf: &bytes.Buffer{}, hbuf: &bytes.Buffer{}, side: s}
	w.Framer = http2.NewFramer(w.buf, nil)
	w.AllowIllegalWrites = true
	w.hp = hpack.NewEncoder(w.hbuf)
	return w
}

// flush passes on what was written, byte by byte where it is little.
func (w frameWriter) flush() {
	b := w.buf.Bytes()
	step := 1
	if len(b) > 10_000 {
		step = 64 << 10
	}
	for chunk := range slices.Chunk(b, step) {
		w.side.Begin()
		w.side.Feed(chunk)
	}
	w.buf.Reset()
}

func (w frameWriter) block(kv ...string) []byte {
	w.hbuf.Reset()
	for i := 0; i < len(kv); i += 2 {
		_ = w.hp.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	return slices.Clone(w.hbuf.Bytes())
}

func (w frameWriter) headers(stream uint32, end bool, kv ...string) {
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: w.block(kv...), EndStream: end, EndHeaders: true})
	w.flush()
}

// message writes one gRPC message in frames of at most 16 KiB.
func (w frameWriter) message(stream uint32, compressed byte, msg []byte) {
	b := binary.BigEndian.AppendUint32([]byte{compressed}, uint32(len(msg)))
	for chunk := range slices.Chunk(append(b, msg...), 16<<10) {
		_ = w.WriteData(stream, false, chunk)
	}
	w.flush()
}

// connect makes a connection that has exchanged its first bytes.
func connect(o *Observer) *handmade {
	c := o.Conn("192.0.2.1:1")
	h := &handmade{Conn: c, up: newFrameWriter(c.Up), down: newFrameWriter(c.Down)}
	h.up.buf.WriteString(clientPreface)
	_ = h.up.WriteSettings()
	h.up.flush()
	_ = h.down.WriteSettings()
	h.down.flush()
	return h
}

func requestHead(path string, more ...string) []string {
	return append([]string{":method", "POST", ":path", path, ":authority", "istiod", "content-type", "application/grpc"}, more...)
}

// openConn has one stream, number 1, with response headers.
func openConn(tb testing.TB, o *Observer, path string, more ...string) *handmade {
	tb.Helper()
	h := connect(o)
	h.up.headers(1, false, requestHead(path)...)
	h.down.headers(1, false, append([]string{":status", "200", "content-type", "application/grpc"}, more...)...)
	return h
}

func (h *handmade) respond(msg []byte) { h.down.message(1, 0, msg) }

func sotwResponse(names ...string) []byte {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "v1")
	for _, n := range names {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), anyOf(xds.ClusterType, n, 20))
	}
	return protowire.AppendString(protowire.AppendTag(b, 4, protowire.BytesType), xds.ClusterType)
}

func ofKind(seen []xds.Sighting, k xds.SightingKind) []xds.Sighting {
	return slices.DeleteFunc(slices.Clone(seen), func(s xds.Sighting) bool { return s.Kind != k })
}

// oneResponse expects exactly the message of one response, and no gap.
func oneResponse(t *testing.T, tap *memory, want []byte) {
	t.Helper()
	if g := ofKind(tap.seen, xds.SawGap); len(g) > 0 {
		t.Fatalf("gap: %s", g[0].Reason)
	}
	rs := ofKind(tap.seen, xds.SawResponse)
	if len(rs) != 1 || !bytes.Equal(tap.whole(t, rs[0].Msg, true), want) || rs[0].Msg.Size != len(want) {
		t.Fatalf("saw %d responses: %v", len(rs), tap.kinds())
	}
}

func TestPaddedAndPriority(t *testing.T) {
	tap := &memory{}
	h := connect(newTestObserver(t, tap))
	_ = h.up.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.up.block(requestHead(adsSotW)...), EndHeaders: true, PadLength: 200,
		Priority: http2.PriorityParam{StreamDep: 3, Weight: 7}})
	h.up.flush()
	msg := sotwResponse("a", "b")
	b := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(msg))), msg...)
	_ = h.down.WriteDataPadded(1, false, b[:7], make([]byte, 255))
	_ = h.down.WriteDataPadded(1, false, nil, make([]byte, 3))
	_ = h.down.WriteDataPadded(1, false, b[7:], []byte{})
	h.down.flush()
	oneResponse(t, tap, msg)
	if tap.seen[0].Kind != xds.SawOpen || tap.seen[0].Open.Method != adsSotW {
		t.Errorf("first: %+v", tap.seen[0])
	}
}

func TestContinuation(t *testing.T) {
	tap := &memory{}
	h := connect(newTestObserver(t, tap))
	block := h.up.block(requestHead(adsDelta, "x-long", strings.Repeat("v", 3000))...)
	_ = h.up.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:10]})
	_ = h.up.WriteContinuation(1, false, block[10:500])
	_ = h.up.WriteContinuation(1, false, nil)
	_ = h.up.WriteContinuation(1, true, block[500:])
	h.up.flush()
	if len(tap.seen) != 1 || tap.seen[0].Open.Method != adsDelta {
		t.Fatalf("saw %+v", tap.seen)
	}
	if v, ok := tap.seen[0].Open.Metadata["x-long"]; !ok || len(v) != 0 {
		t.Errorf("x-long: %v, %v", v, ok)
	}
}

func TestUnknownFramesAndPush(t *testing.T) {
	tap := &memory{}
	h := openConn(t, newTestObserver(t, tap), adsSotW)
	_ = h.down.WriteRawFrame(0xfa, 0xff, 1, []byte("whatever"))
	_ = h.down.WritePing(false, [8]byte{1})
	_ = h.down.WriteWindowUpdate(0, 10)
	_ = h.down.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true, PadLength: 3,
		BlockFragment: h.down.block(":path", "/x", "learn-this", "header")})
	h.down.headers(2, true, ":status", "200")
	msg := sotwResponse("a")
	h.respond(msg)
	oneResponse(t, tap, msg)
}

func TestLargeFrame(t *testing.T) {
	tap := &memory{}
	h := openConn(t, newTestObserver(t, tap), adsSotW)
	msg := sotwResponse("a", strings.Repeat("n", 16<<20-600))
	b := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(msg))), msg...)
	_ = h.down.WriteData(1, false, b)
	h.down.flush()
	rs := ofKind(tap.seen, xds.SawResponse)
	if len(rs) != 1 || len(rs[0].Msg.Chunks) != 2 {
		t.Fatalf("saw %v", tap.kinds())
	}
	c := rs[0].Msg.Chunks[1]
	if c.State != xds.ChunkTooLarge || c.Size < 16<<20-600 || c.Type != xds.ClusterType || c.Sum.IsZero() || c.Raw != nil {
		t.Errorf("%v %d %q %v", c.State, c.Size, c.Type, c.Sum)
	}
}

func TestTooLargeDelta(t *testing.T) {
	tap := &memory{}
	h := openConn(t, newTestObserver(t, tap), adsDelta)
	h.respond(deltaResponse(1, 9<<20))
	c := ofKind(tap.seen, xds.SawResponse)[0].Msg.Chunks[0]
	if c.State != xds.ChunkTooLarge || c.Name != "c0" || c.Type != xds.ClusterType {
		t.Errorf("%v %q %q", c.State, c.Name, c.Type)
	}
	raw := deltaResponse(1, 9<<20)
	_, _, n := protowire.ConsumeField(raw)
	_, _, m := protowire.ConsumeTag(raw[n:])
	content, _ := protowire.ConsumeBytes(raw[n+m:])
	if c.Sum != xds.DigestOf(content) || c.Size != len(content) {
		t.Errorf("sum %v of %d bytes", c.Sum, c.Size)
	}
}

func TestCompressed(t *testing.T) {
	msg := sotwResponse("a", "b", "c")
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(msg)
	_ = w.Close()
	t.Run("gzip", func(t *testing.T) {
		tap := &memory{}
		o := newTestObserver(t, tap)
		h := openConn(t, o, adsSotW, "grpc-encoding", "gzip")
		h.down.message(1, 1, z.Bytes())
		o.Wait()
		oneResponse(t, tap, msg)
	})
	bomb := func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(make([]byte, 33<<20))
		_ = w.Close()
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		encoding string
		body     []byte
	}{"unknown encoding": {"br", []byte("xx")}, "broken": {"gzip", []byte("no gzip")}, "broken inside": {"gzip", append(bomb()[:30:30], "broken"...)}, "too much": {"gzip", bomb()}} {
		t.Run(name, func(t *testing.T) {
			tap := &memory{}
			o := newTestObserver(t, tap)
			h := openConn(t, o, adsSotW, "grpc-encoding", c.encoding)
			h.down.message(1, 1, c.body)
			h.down.message(1, 0, msg)
			o.Wait()
			if k := tap.kinds(); !slices.Equal(k, []xds.SightingKind{xds.SawOpen, xds.SawGap, xds.SawResponse}) || o.in.stats.Gaps(GapCompression) != 1 {
				t.Errorf("saw %v", k)
			}
		})
	}
}

func TestFailureIsLocal(t *testing.T) {
	broken := []byte{0x0a, 0x7f, 1}
	cases := map[string]struct {
		do     func(h *handmade)
		reason GapReason
		after  []xds.SightingKind // of stream 1 after a good message on it
	}{
		"protobuf": {func(h *handmade) { h.down.message(1, 0, broken) }, GapProtobuf, []xds.SightingKind{xds.SawGap, xds.SawResponse}},
		"request":  {func(h *handmade) { h.up.message(1, 0, broken) }, GapProtobuf, []xds.SightingKind{xds.SawGap, xds.SawResponse}},
		"framing":  {func(h *handmade) { h.down.message(1, 9, broken) }, GapFraming, []xds.SightingKind{xds.SawGap}},
		"hpack": {func(h *handmade) {
			_ = h.down.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: []byte{0xff, 0xff, 0xff}, EndHeaders: true})
			h.down.flush()
		}, GapHPACK, []xds.SightingKind{xds.SawGap}},
		"frame": {func(h *handmade) {
			_ = h.down.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{9, 1})
			h.down.flush()
		}, GapHTTP2, []xds.SightingKind{xds.SawGap}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tap := &memory{}
			o := newTestObserver(t, tap)
			h := openConn(t, o, adsSotW)
			c.do(h)
			h.respond(sotwResponse("a"))
			got := tap.kinds()[1:]
			if !slices.Equal(got, c.after) || o.in.stats.Gaps(c.reason) != 1 {
				t.Errorf("saw %v, %s gaps %d", got, c.reason, o.in.stats.Gaps(c.reason))
			}
			h.Close()
			if k := tap.kinds(); k[len(k)-1] != xds.SawClose || o.in.stats.AssemblyBytes() != 0 {
				t.Errorf("saw %v, %d bytes held", k, o.in.stats.AssemblyBytes())
			}
		})
	}
}

// TestHeaderLimits: a table of 1 MiB is followed, a list over 256 KiB is cut.
func TestHeaderLimits(t *testing.T) {
	tap := &memory{}
	h := connect(newTestObserver(t, tap))
	h.up.hp.SetMaxDynamicTableSizeLimit(1 << 20)
	h.up.hp.SetMaxDynamicTableSize(1 << 20)
	var kv []string
	for i := range 400 {
		kv = append(kv, fmt.Sprint("x-", i), strings.Repeat("v", 1000))
	}
	h.up.headers(1, false, requestHead(adsSotW, kv...)...)
	h.up.headers(3, false, requestHead(adsDelta, kv[:20]...)...)
	opens := ofKind(tap.seen, xds.SawOpen)
	if len(opens) != 2 || opens[1].Open.Method != adsDelta || len(opens[0].Open.Metadata) != maxMetadata {
		t.Fatalf("saw %v", tap.kinds())
	}
}

func TestCloses(t *testing.T) {
	cases := map[string]struct {
		do   func(h *handmade)
		want xds.Close
	}{
		"trailers": {func(h *handmade) {
			h.down.headers(1, true, "grpc-status", "14", "grpc-message", "go%20away%21", "x-t", "1", "grpc-status-details-bin", "CAM")
		},
			xds.Close{By: "server", Code: "Unavailable", Message: "go away!"}},
		"ok":           {func(h *handmade) { h.down.headers(1, true, "grpc-status", "0") }, xds.Close{By: "server", Code: "OK"}},
		"no status":    {func(h *handmade) { _ = h.down.WriteData(1, true, nil); h.down.flush() }, xds.Close{By: "server", Code: "Unknown", Message: "no gRPC status, HTTP status 200"}},
		"client reset": {func(h *handmade) { _ = h.up.WriteRSTStream(1, http2.ErrCodeCancel); h.up.flush() }, xds.Close{By: "client", Code: "Canceled", Message: "stream reset: CANCEL"}},
		"server reset": {func(h *handmade) { _ = h.down.WriteRSTStream(1, http2.ErrCodeRefusedStream); h.down.flush() },
			xds.Close{By: "server", Code: "Unavailable", Message: "stream reset: REFUSED_STREAM"}},
		"goaway": {func(h *handmade) {
			_ = h.down.WriteGoAway(1, http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings"))
			h.down.flush()
			h.Ended(h.Down)
		}, xds.Close{By: "server", Code: "Unavailable", Message: "the server closed the connection after GOAWAY ENHANCE_YOUR_CALM"}},
		"client gone": {func(h *handmade) { h.Ended(h.Up) }, xds.Close{By: "client", Code: "Canceled", Message: "the client closed the connection"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tap := &memory{}
			h := openConn(t, newTestObserver(t, tap), adsSotW)
			c.do(h)
			h.respond(sotwResponse("late"))
			h.Close()
			closes := ofKind(tap.seen, xds.SawClose)
			if len(closes) != 1 {
				t.Fatalf("saw %v", tap.kinds())
			}
			got := *closes[0].Close
			if got.By != c.want.By || got.Code != c.want.Code || got.Message != c.want.Message {
				t.Errorf("got %+v", got)
			}
			if len(got.Trailer["grpc-status-details-bin"]) != 0 {
				t.Errorf("trailer %v", got.Trailer)
			}
			if v, ok := got.Trailer["x-t"]; name == "trailers" && (!ok || len(v) != 0) {
				t.Errorf("trailer %v", got.Trailer)
			}
		})
	}
}

// TestResponseBeforeRequest: the server is parsed before the client.
func TestResponseBeforeRequest(t *testing.T) {
	for path, want := range map[string][]xds.SightingKind{
		adsSotW:           {xds.SawOpen, xds.SawResponse, xds.SawRequest, xds.SawClose},
		"/a.Service/Call": {xds.SawOpen, xds.SawClose},
	} {
		tap := &memory{}
		h := connect(newTestObserver(t, tap))
		h.Up.Begin()
		h.down.headers(1, false, ":status", "200")
		h.respond(sotwResponse("a"))
		h.down.headers(1, true, "grpc-status", "0")
		if len(tap.seen) != 0 {
			t.Fatalf("saw %v of a stream without a name", tap.kinds())
		}
		_ = h.up.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.up.block(requestHead(path)...), EndHeaders: true})
		_ = h.up.WriteData(1, true, []byte{0, 0, 0, 0, 0})
		all := slices.Clone(h.up.buf.Bytes())
		h.Up.Feed(all)
		if k := tap.kinds(); !slices.Equal(k, want) {
			t.Errorf("%s: saw %v, want %v", path, k, want)
		}
	}
}

func TestOtherServices(t *testing.T) {
	tap := &memory{}
	h := openConn(t, newTestObserver(t, tap), "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats")
	h.up.message(1, 0, []byte{0xff})
	h.up.message(1, 1, []byte("zz"))
	h.respond([]byte{0xff, 0xff})
	h.down.headers(1, true, "grpc-status", "0")
	if k := tap.kinds(); !slices.Equal(k, []xds.SightingKind{xds.SawOpen, xds.SawClose}) {
		t.Fatalf("saw %v", k)
	}
	if c := tap.seen[1].Close; c.Sent != 2 || c.Received != 1 {
		t.Errorf("sent %d, received %d", c.Sent, c.Received)
	}
}

func TestDebugOmitted(t *testing.T) {
	tap := &memory{}
	h := openConn(t, newTestObserver(t, tap), adsSotW)
	h.up.message(1, 0, protowire.AppendString(protowire.AppendTag(nil, 4, protowire.BytesType), "istio.io/debug/syncz"))
	b := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), anyOf("x", "secret", 100))
	b = protowire.AppendString(protowire.AppendTag(b, 4, protowire.BytesType), "istio.io/debug/syncz")
	h.respond(b)
	m := ofKind(tap.seen, xds.SawResponse)[0].Msg
	if m.Omitted == "" || m.Digest != xds.DigestOf(b) || m.Size != len(b) || len(m.Chunks) != 0 || bytes.Contains(m.Envelope, []byte("secret")) {
		t.Errorf("%+v", m)
	}
}

// TestLargeRequest: over 32 MiB there is a digest and a size.
func TestLargeRequest(t *testing.T) {
	tap := &memory{}
	h := openConn(t, newTestObserver(t, tap), adsDelta)
	b := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), make([]byte, 33<<20))
	h.up.message(1, 0, b)
	m := ofKind(tap.seen, xds.SawRequest)[0].Msg
	if m.Omitted != "too large" || m.Size != len(b) || m.Digest != xds.DigestOf(b) || m.Envelope != nil {
		t.Errorf("%q, %d bytes, %v", m.Omitted, m.Size, m.Digest)
	}
}

func TestKindOf(t *testing.T) {
	cases := map[string]kind{
		adsDelta: kindDelta, adsSotW: kindSotW,
		"/envoy.service.discovery.v2.AggregatedDiscoveryService/StreamAggregatedResources":   kindSotW,
		"/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters":                    kindDelta,
		"/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints":                kindSotW,
		"/envoy.service.endpoint.v3.LocalityEndpointDiscoveryService/DeltaLocalityEndpoints": kindDelta,
		"/envoy.service.route.v3.ScopedRoutesDiscoveryService/StreamScopedRoutes":            kindSotW,
		"/envoy.service.extension.v3.ExtensionConfigDiscoveryService/DeltaExtensionConfigs":  kindDelta,
		"/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets":                      kindSotW,
		"/envoy.service.runtime.v3.RuntimeDiscoveryService/DeltaRuntime":                     kindDelta,
		"/envoy.api.v2.ListenerDiscoveryService/StreamListeners":                             kindSotW,
		"/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters":                    kindOther,
		"/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck":                  kindOther,
		"/istio.v1.auth.IstioCertificateService/CreateCertificate":                           kindOther,
		"/x": kindNone,
		"":   kindNone,
	}
	for path, want := range cases {
		if got := kindOf(path, "application/grpc+proto"); got != want {
			t.Errorf("%s: kind %d, want %d", path, got, want)
		}
	}
	if kindOf(adsDelta, "text/html") != kindNone {
		t.Error("a page is no stream")
	}
}

// TestWholeResources: resources that are there whole and resources that come byte
// by byte are the same, and so is what is wrong with a message.
func TestWholeResources(t *testing.T) {
	long := []byte{0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00} // an empty one, its length in six bytes
	for name, msg := range map[string][]byte{
		"many":      deltaResponse(50, 300),
		"none":      {},
		"empty":     {0x12, 0x00, 0x12, 0x00},
		"long way":  long,
		"too long":  {0x12, 0x05, 1, 2, 3, 4},
		"no length": {0x12},
		"huge":      {0x12, 0xff, 0xff, 0xff, 0x7f, 1},
		"group":     {0x1b, 0x12, 0x01, 0xff, 0x1c},
	} {
		var seen [2]*xds.Message
		var failed [2]error
		for i, size := range []int{1, max(1, len(msg))} {
			in := newTestObserver(t, &memory{deaf: true}).in
			in.seed = 1
			r := newResponse(in, uint64(len(msg)), func() shape { return shapeResource }, false)
			for b := range slices.Chunk(msg, size) {
				failed[i] = errors.Join(failed[i], r.feed(b))
			}
			if failed[i] == nil {
				seen[i], failed[i] = r.finish()
			}
			r.drop()
		}
		if (failed[0] == nil) != (failed[1] == nil) || !reflect.DeepEqual(seen[0], seen[1]) {
			t.Errorf("%s: %v, %+v byte by byte; %v, %+v at once", name, failed[0], seen[0], failed[1], seen[1])
		}
	}
}
