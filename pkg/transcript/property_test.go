package transcript_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func str(b []byte, num int, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, protowire.Number(num), protowire.BytesType), s)
}

// wire draws what a control plane and clients of all sorts may say: nonces come
// again, streams are opened twice, nodes come late or never.
type wire struct {
	t     *rapid.T
	delta map[uint64]bool // of streams that are open
	asked map[uint64]bool
	first bool // the request is its stream's first
	now   time.Time
}

func (w *wire) pick(label string, xs ...string) string { return rapid.SampledFrom(xs).Draw(w.t, label) }

func (w *wire) sighting() xds.Sighting {
	w.now = w.now.Add(time.Duration(rapid.IntRange(-1000, 2000).Draw(w.t, "ms")) * time.Millisecond)
	s := xds.Sighting{Time: w.now, Stream: rapid.Uint64Range(1, 3).Draw(w.t, "stream"), Took: time.Duration(rapid.IntRange(0, 5).Draw(w.t, "took"))}
	kind := w.pick("kind", "open", "request", "request", "request", "request", "response", "response", "response", "response", "close", "gap")
	if _, open := w.delta[s.Stream]; !open {
		kind = "open"
	}
	switch kind {
	case "open":
		delete(w.asked, s.Stream)
		name := w.pick("method", "StreamAggregatedResources", "DeltaAggregatedResources")
		w.delta[s.Stream] = name[0] == 'D'
		s.Kind, s.Open = xds.SawOpen, &xds.Open{Method: "/envoy.service.discovery.v3.AggregatedDiscoveryService/" + name, Peer: w.pick("peer", "", "a:1")}
	case "request":
		w.first, w.asked[s.Stream] = !w.asked[s.Stream], true
		s.Kind, s.Msg = xds.SawRequest, w.request(w.delta[s.Stream])
	case "response":
		s.Kind, s.Msg = xds.SawResponse, w.response(w.delta[s.Stream])
	case "close":
		delete(w.delta, s.Stream)
		s.Kind, s.Close = xds.SawClose, &xds.Close{By: w.pick("by", "client", "server"), Code: "Canceled", Received: 3}
	case "gap":
		s.Kind, s.Reason = xds.SawGap, "queue full"
	}
	return s
}

func (w *wire) request(delta bool) *xds.Message {
	if w.pick("whole", "y", "y", "y", "y", "y", "y", "n") == "n" {
		return &xds.Message{Omitted: "too large", Size: 1 << 25}
	}
	typ, node, names, nonce, fail := 4, 2, 3, 5, 6
	if delta {
		typ, node, names, nonce, fail = 2, 1, 3, 6, 7
	}
	b := str(nil, typ, w.typ())
	// Who says its name late, behind an answer to something not seen, comes back
	// in another order: nothing tells when the stream became somebody's.
	if n := w.pick("node", "", "web", "db"); n != "" && w.first {
		b = str(b, node, string(str(nil, 1, n)))
	}
	w.first = false
	for range rapid.IntRange(0, 2).Draw(w.t, "names") {
		b = str(b, names, w.pick("name", "a", "b"))
	}
	if n := w.nonce(); n != "" {
		b = str(b, nonce, n)
	}
	if e := w.pick("error", "", "", "", "bad", "bad", "worse"); e != "" {
		b = str(b, fail, string(str(nil, 2, e)))
	}
	return &xds.Message{Envelope: b, Size: len(b)}
}

func (w *wire) typ() string { return w.pick("type", xds.ClusterType, xds.ListenerType) }

func (w *wire) nonce() string { return w.pick("nonce", "", "1", "1", "2", "2", "3", "4") }

func (w *wire) response(delta bool) *xds.Message {
	b := str(nil, 4, w.typ())
	if n := w.nonce(); n != "" {
		b = str(b, 5, n)
	}
	if delta && w.pick("removed", "n", "y") == "y" {
		b = str(b, 6, "gone")
	}
	m := &xds.Message{Envelope: b}
	for range rapid.IntRange(0, 2).Draw(w.t, "resources") {
		m.Chunks = append(m.Chunks, w.chunk(delta))
	}
	m.Size = len(b) + rapid.IntRange(0, 1).Draw(w.t, "redacted")
	if w.pick("whole", "y", "y", "y", "y", "y", "n") == "n" {
		return &xds.Message{Omitted: "too large", Size: 1 << 25}
	}
	return m
}

func (w *wire) chunk(delta bool) xds.Chunk {
	name := w.pick("name", "a", "b")
	switch w.pick("chunk", "raw", "raw", "raw", "raw", "raw", "bodyless", "large") {
	case "bodyless":
		return xds.Chunk{State: xds.ChunkBodyless, Name: name, Size: 7}
	case "large":
		return xds.Chunk{State: xds.ChunkTooLarge, Name: name, Size: 1 << 24, Sum: xds.DigestOf([]byte(name))}
	}
	body := str(str(nil, 1, xds.ClusterType), 2, string(str(nil, 1, name)))
	form := w.pick("form", "plain", "plain", "plain", "wrapped", "heartbeat")
	if !delta && form == "plain" {
		return xds.Chunk{Raw: body, Size: len(body)}
	}
	res := str(nil, 3, name)
	if form != "heartbeat" {
		res = str(res, 2, string(body))
	}
	if w.pick("ttl", "n", "y") == "y" {
		res = str(res, 6, "\x08\x3c")
	}
	if !delta {
		res = str(str(nil, 1, xds.ResourceWrapper), 2, string(res))
	}
	return xds.Chunk{Raw: res, Size: len(res)}
}

// TestAnyHistoryComesBack: export and import give equal records, whatever was
// seen and however time passed.
func TestAnyHistoryComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := &record.Memory{}
		rec, err := record.New(record.Config{Log: src, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		w := &wire{t: t, delta: map[uint64]bool{}, asked: map[uint64]bool{}, now: time.Unix(1e9, 0).UTC()}
		for range rapid.IntRange(1, 60).Draw(t, "length") {
			if err := rec.Sight(w.sighting()); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(t, "tick") == 0 {
				if err := rec.Advance(w.now.Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := transcript.Write(&text, src, transcript.Options{}); err != nil {
			t.Fatal(err)
		}
		again, err := transcript.Read(bytes.NewReader(text.Bytes()), "export", transcript.Config{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		if d := differ(sorted(src), sorted(again)); d != "" {
			t.Fatalf("%s\n%s", d, &text)
		}
	})
}

func sorted(src transcript.History) []xds.Record {
	ids, _ := src.Sidecars()
	by := map[uint64]xds.Record{}
	for _, id := range append(ids, xds.Sidecar{}) {
		for r := range src.Records(id, 0) {
			by[r.Seq] = r
		}
	}
	out := make([]xds.Record, 0, len(by))
	for n := uint64(1); n <= uint64(len(by)); n++ {
		r, ok := by[n]
		if !ok {
			panic(fmt.Sprintf("record %d is not there", n))
		}
		out = append(out, r)
	}
	return out
}
