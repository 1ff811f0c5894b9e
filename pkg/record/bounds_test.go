package record_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// drop is a Log that keeps the last records only.
type drop struct {
	recs   []xds.Record
	gaps   int
	paired int
	total  int
}

func (d *drop) Append(recs []xds.Record, _ []xds.Body) error {
	d.total += len(recs)
	for _, r := range recs {
		if r.Kind == xds.KindGap {
			d.gaps++
		}
		if r.Kind == xds.KindAnswer && r.Answer.Push > 0 {
			d.paired++
		}
	}
	d.recs = append(d.recs[:0], recs...)
	return nil
}

func (d *drop) Has(xds.Digest) bool { return false }

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// flood runs f against a recorder that writes to nowhere, and fails if the recorder
// holds more than most bytes afterwards.
func flood(t *testing.T, most uint64, f func(sight func(xds.Sighting))) *drop {
	t.Helper()
	log := &drop{}
	rec, err := record.New(record.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	f(func(s xds.Sighting) {
		if err := rec.Sight(s); err != nil {
			t.Fatal(err)
		}
	})
	if after := heap(); after > before+most {
		t.Errorf("the recorder holds %d bytes, want at most %d", after-before, most)
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	return log
}

func requestOf(stream uint64, typ, node, nonce string) xds.Sighting {
	var b []byte
	if node != "" {
		b = str(b, 2, string(str(nil, 1, node)))
	}
	b = str(b, 4, typ)
	if nonce != "" {
		b = str(b, 5, nonce)
	}
	return xds.Sighting{Kind: xds.SawRequest, Stream: stream, Time: time.Unix(1, 0), Msg: &xds.Message{Envelope: b, Size: len(b)}}
}

func openOf(stream uint64) xds.Sighting {
	return xds.Sighting{Kind: xds.SawOpen, Stream: stream, Time: time.Unix(1, 0),
		Open: &xds.Open{Method: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"}}
}

func long(i, n int) string { return fmt.Sprintf("%s%s%d", xds.TypePrefix, strings.Repeat("x", n), i) }

// TestTypesAreBounded: a client that makes types up costs what one with many types
// does, every request stands in the history, and the loss is told once.
func TestTypesAreBounded(t *testing.T) {
	const n = 2000
	log := flood(t, 2<<20, func(sight func(xds.Sighting)) {
		sight(openOf(1))
		sight(requestOf(1, xds.ClusterType, "web", ""))
		for i := range n {
			sight(requestOf(1, long(i, 5000), "", ""))
		}
	})
	if log.gaps != 1 || log.total != n+3 {
		t.Errorf("%d records, %d gaps", log.total, log.gaps)
	}
}

// TestWaitingIsBounded: requests that answer nothing, each large.
func TestWaitingIsBounded(t *testing.T) {
	const n = 500
	log := flood(t, 8<<20, func(sight func(xds.Sighting)) {
		sight(openOf(1))
		sight(requestOf(1, xds.ClusterType, "web", ""))
		for i := range n {
			sight(requestOf(1, xds.ClusterType, "", long(i, 300_000)))
		}
	})
	if log.total != n+2 {
		t.Errorf("%d records", log.total)
	}
}

// TestStreamsTogetherAreBounded: many streams of nobody, each below its own bound. Those that
// hold little keep it.
func TestStreamsTogetherAreBounded(t *testing.T) {
	const n = 200
	log := flood(t, 48<<20, func(sight func(xds.Sighting)) {
		sight(openOf(1))
		sight(requestOf(1, xds.ClusterType, "web", ""))
		sight(requestOf(1, xds.ClusterType, "", "early"))
		for i := range uint64(n) {
			sight(openOf(i + 2))
			sight(requestOf(i+2, xds.ClusterType, "", long(0, 900_000)))
		}
		m, err := record.Split(str(str(nil, 4, xds.ClusterType), 5, "early"))
		if err != nil {
			t.Fatal(err)
		}
		sight(xds.Sighting{Kind: xds.SawResponse, Stream: 1, Msg: m})
	})
	if log.total != 2*n+4 || log.gaps != 0 || log.paired != 1 {
		t.Errorf("%d records, %d gaps, %d answers paired", log.total, log.gaps, log.paired)
	}
}

// TestNoncesAreBounded: a server whose nonces are large. Answers to pushes that are
// not remembered are orphans; that of the newest is paired.
func TestNoncesAreBounded(t *testing.T) {
	newest := ""
	log := flood(t, 8<<20, func(sight func(xds.Sighting)) {
		sight(openOf(1))
		sight(requestOf(1, xds.ClusterType, "web", ""))
		for i := range 200 {
			newest = long(i, 300_000)
			m, err := record.Split(str(str(nil, 4, xds.ClusterType), 5, newest))
			if err != nil {
				t.Fatal(err)
			}
			sight(xds.Sighting{Kind: xds.SawResponse, Stream: 1, Msg: m})
		}
		sight(requestOf(1, xds.ClusterType, "", newest))
	})
	if a := log.recs[0].Answer; a == nil || a.Push != 200 {
		t.Errorf("the newest push has no answer: %+v", a)
	}
}

// TestSidecarsAreBounded: a client that makes nodes up. Push numbers of one sidecar
// never repeat, also where it was forgotten in between.
func TestSidecarsAreBounded(t *testing.T) {
	var log *drop
	push := func(stream uint64) xds.Sighting {
		m, err := record.Split(str(str(nil, 4, xds.ClusterType), 5, "n"))
		if err != nil {
			t.Fatal(err)
		}
		return xds.Sighting{Kind: xds.SawResponse, Stream: stream, Msg: m}
	}
	live := func(sight func(xds.Sighting), stream uint64, node string) {
		sight(openOf(stream))
		sight(requestOf(stream, xds.ClusterType, node, ""))
		sight(push(stream))
		sight(xds.Sighting{Kind: xds.SawClose, Stream: stream})
	}
	log = flood(t, 16<<20, func(sight func(xds.Sighting)) {
		live(sight, 1, "web")
		for i := range uint64(20_000) {
			live(sight, i+2, long(int(i), 3000))
		}
		sight(openOf(1 << 20))
		sight(requestOf(1<<20, xds.ClusterType, "web", ""))
		sight(push(1 << 20))
	})
	if p := log.recs[0].Push; p == nil || p.Number < 2 {
		t.Errorf("a sidecar that came back: %+v", p)
	}
	if n := len(record.Identity(str(nil, 1, long(1, 1<<20))).Node); n > 1024 {
		t.Errorf("a node's id of %d bytes", n)
	}
	if a, b := record.Identity(str(nil, 1, long(1, 3000))), record.Identity(str(nil, 1, long(2, 3000))); a == b {
		t.Error("two nodes have become one")
	}
}
