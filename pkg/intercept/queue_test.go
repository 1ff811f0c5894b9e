package intercept

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// anyOf builds a google.protobuf.Any around a named resource padded to size.
func anyOf(typ, name string, size int) []byte {
	value := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
	value = protowire.AppendBytes(protowire.AppendTag(value, 15, protowire.BytesType), make([]byte, size))
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), typ)
	return protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), value)
}

func response1(stream uint64, size int) xds.Sighting {
	raw := anyOf(xds.ClusterType, fmt.Sprint("c", stream), size)
	return xds.Sighting{Kind: xds.SawResponse, Conn: 1, Stream: stream, Msg: &xds.Message{Envelope: []byte{}, Size: size,
		Chunks: []xds.Chunk{{State: xds.ChunkRaw, Raw: raw, Size: len(raw), Key: xds.Key{byte(stream)}}}}}
}

func TestQueueDropsBodiesFirst(t *testing.T) {
	stats := &Stats{}
	q := NewQueue(10_000, stats)
	if !q.Offer(response1(1, 8000)) || !q.Offer(response1(2, 8000)) {
		t.Fatal("not taken")
	}
	first, _ := q.Next(t.Context())
	second, _ := q.Next(t.Context())
	if c := first.Msg.Chunks[0]; c.State != xds.ChunkRaw || len(c.Raw) < 8000 {
		t.Errorf("the oldest lost its body: %v", c.State)
	}
	c := second.Msg.Chunks[0]
	if c.State != xds.ChunkBodyless || c.Raw != nil || c.Name != "c2" || c.Type != xds.ClusterType || c.Key != (xds.Key{2}) {
		t.Errorf("got %v %q %q %v", c.State, c.Name, c.Type, c.Key)
	}
	if stats.BodiesDropped.Load() != 1 || stats.QueueBytes.Load() != 0 {
		t.Errorf("bodies dropped %d, bytes %d", stats.BodiesDropped.Load(), stats.QueueBytes.Load())
	}
}

func TestQueueTellsLosses(t *testing.T) {
	stats := &Stats{}
	q := NewQueue(8000, stats)
	taken := 0
	for range 20 {
		for stream := uint64(1); stream <= 2; stream++ {
			if q.Offer(response1(stream, 10)) {
				taken++
			}
		}
	}
	if !q.Offer(xds.Sighting{Kind: xds.SawClose, Conn: 1, Stream: 1}) {
		t.Error("the close was lost: it may use the reserve")
	}
	q.Close()
	var gaps []string
	n := 0
	for s, ok := q.Next(t.Context()); ok; s, ok = q.Next(t.Context()) {
		if s.Kind == xds.SawGap {
			gaps = append(gaps, fmt.Sprint(s.Stream, " ", s.Reason))
		}
		n++
	}
	lost := 40 - taken
	if int(stats.SightingsLost.Load()) != lost || len(gaps) != 2 || n != taken+1+2 {
		t.Errorf("lost %d of 40, counted %d; %d sightings; gaps %q", lost, stats.SightingsLost.Load(), n, gaps)
	}
	if !strings.Contains(gaps[0], "messages lost") {
		t.Errorf("gap %q", gaps[0])
	}
}

// TestQueueGapInPlace: after a loss nothing overtakes its gap.
func TestQueueGapInPlace(t *testing.T) {
	q := NewQueue(1200, nil)
	for q.Offer(response1(1, 10)) {
	}
	_, _ = q.Next(t.Context())
	if q.Offer(response1(2, 10)) {
		t.Error("taken although the gap and it do not fit")
	}
	_, _ = q.Next(t.Context())
	for q.Len() > 0 {
		_, _ = q.Next(t.Context())
	}
	if !q.Offer(response1(1, 10)) {
		t.Fatal("not taken by an empty queue")
	}
	var kinds []xds.SightingKind
	for range 3 {
		s, _ := q.Next(t.Context())
		kinds = append(kinds, s.Kind)
	}
	if kinds[0] != xds.SawGap || kinds[1] != xds.SawGap || kinds[2] != xds.SawResponse {
		t.Errorf("order %v", kinds)
	}
}

// TestQueueGapBeforeEnd: a stream's gap stands before its end, also where the end
// itself does not fit.
func TestQueueGapBeforeEnd(t *testing.T) {
	end := func(stream uint64) xds.Sighting {
		return xds.Sighting{Kind: xds.SawClose, Conn: 1, Stream: stream, Close: &xds.Close{By: "server", Code: "OK", Message: "m"}}
	}
	for name, max := range map[string]int{"the end fits": 8000, "nothing fits": 1000} {
		t.Run(name, func(t *testing.T) {
			q := NewQueue(max, nil)
			for q.Offer(response1(1, 10)) || q.Offer(response1(2, 10)) {
			}
			q.Offer(end(1))
			q.Close()
			var got []string
			for s, ok := q.Next(t.Context()); ok; s, ok = q.Next(t.Context()) {
				if s.Stream == 1 && s.Kind != xds.SawResponse {
					got = append(got, fmt.Sprint(s.Kind == xds.SawGap, s.Close != nil && s.Close.Code == "OK"))
				}
			}
			if fmt.Sprint(got) != "[true false false true]" {
				t.Errorf("saw %v", got)
			}
			if q.ends != 0 || len(q.losses) != 0 {
				t.Errorf("%d losses with %d ends are left", len(q.losses), q.ends)
			}
		})
	}
}

func TestQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(0, nil)
		got := make(chan bool)
		go func() {
			_, ok := q.Next(t.Context())
			got <- ok
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("did not wait")
		default:
		}
		q.Offer(response1(1, 1))
		if !<-got {
			t.Error("nothing")
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, ok := q.Next(ctx)
			got <- ok
		}()
		synctest.Wait()
		cancel()
		if <-got {
			t.Error("a sighting from nowhere")
		}
	})
}

// TestFirstPush: the first push of 25 MB fits, and the next one keeps its names.
func TestFirstPush(t *testing.T) {
	tap := &memory{deaf: true}
	stats := &Stats{}
	q := NewQueue(0, stats)
	o, err := NewObserver(ObserverConfig{Tap: q.Tap(tap.Known), Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	c := openConn(t, o, adsDelta)
	for range 2 {
		c.respond(deltaResponse(20_000, 1200))
	}
	_, _ = q.Next(t.Context())
	first, _ := q.Next(t.Context())
	second, _ := q.Next(t.Context())
	for i, ch := range first.Msg.Chunks {
		if ch.State != xds.ChunkRaw {
			t.Fatalf("resource %d of the first push has state %v", i, ch.State)
		}
	}
	if len(first.Msg.Chunks) != 20_000 || len(second.Msg.Chunks) != 20_000 {
		t.Fatalf("%d and %d resources", len(first.Msg.Chunks), len(second.Msg.Chunks))
	}
	if ch := second.Msg.Chunks[19_999]; ch.State != xds.ChunkBodyless || ch.Name != "c19999" || ch.Type != xds.ClusterType {
		t.Errorf("second push: %v %q %q", ch.State, ch.Name, ch.Type)
	}
	c.Close()
	if n := stats.AssemblyBytes(); n != 0 {
		t.Errorf("%d bytes still held", n)
	}
}

// deltaResponse is a DeltaDiscoveryResponse of n resources of size bytes each.
func deltaResponse(n, size int) []byte {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "v1")
	for i := range n {
		res := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), anyOf(xds.ClusterType, "inner", size))
		res = protowire.AppendString(protowire.AppendTag(res, 3, protowire.BytesType), fmt.Sprint("c", i))
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), res)
	}
	b = protowire.AppendString(protowire.AppendTag(b, 4, protowire.BytesType), xds.ClusterType)
	return protowire.AppendString(protowire.AppendTag(b, 5, protowire.BytesType), "nonce")
}

// TestNobodyReads: once nobody will read any more, no bytes are kept for nobody.
func TestNobodyReads(t *testing.T) {
	stats := &Stats{}
	q := NewQueue(0, stats)
	o, err := NewObserver(ObserverConfig{Tap: q.Tap(func(xds.Key) bool { return false }), Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	c := openConn(t, o, adsDelta)
	q.Close()
	c.respond(deltaResponse(1000, 1200))
	if high := stats.assemblyHighest.Load(); high > 100<<10 {
		t.Errorf("%d bytes were held", high)
	}
	c.Close()
}

// TestFirstPushOfManySmall: 29,000 clusters, 25 MB, keep their bodies: their type is
// counted once.
func TestFirstPushOfManySmall(t *testing.T) {
	q := NewQueue(0, nil)
	o, stats := budgeted(t, q.Tap(func(xds.Key) bool { return false }), 0)
	c := openConn(t, o, adsDelta)
	c.respond(deltaResponse(29_000, 800))
	if n := stats.BodiesDropped.Load(); n != 0 {
		t.Errorf("%d bodies were dropped", n)
	}
	c.Close()
}
