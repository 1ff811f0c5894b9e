package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// churn is a history of pushes of 2,003 clusters of 1.2 kB, 20 of which are new
// in each.
type churn struct {
	entries []xds.Entry
	n       int
}

const clusters, changed, clusterSize = 2003, 20, 1229

func (c *churn) next() (xds.Record, []xds.Body) {
	var bodies []xds.Body
	fresh := func(i int) {
		b := xds.NewBody([]byte(fmt.Sprintf("%-*s", clusterSize, fmt.Sprintf("outbound|8080||svc-%d.ns.svc.cluster.local version %d", i, c.n))))
		bodies = append(bodies, b)
		c.entries[i] = xds.Entry{Name: fmt.Sprintf("outbound|8080||svc-%d.ns.svc.cluster.local", i), Digest: b.Digest, Size: clusterSize}
	}
	if c.n == 0 {
		c.entries = make([]xds.Entry, clusters)
		for i := range clusters {
			fresh(i)
		}
	} else {
		for i := range changed {
			fresh((c.n*37 + i*101) % clusters)
		}
	}
	c.n++
	p := &xds.Push{Number: uint64(c.n), Type: xds.ClusterType, Resources: append([]xds.Entry(nil), c.entries...), Size: clusters * clusterSize}
	return xds.Record{Time: day, Kind: xds.KindPush, Stream: 1, Sidecar: web, Push: p}, bodies
}

func benchStore(b *testing.B, pushes int) string {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "store")
	w := mustOpen(b, Config{Dir: dir})
	var c churn
	for range pushes {
		r, bodies := c.next()
		mustAppend(b, w, []xds.Record{r}, bodies...)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

func BenchmarkIngest(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "store")
	w := mustOpen(b, Config{Dir: dir})
	var c churn
	r, bodies := c.next()
	mustAppend(b, w, []xds.Record{r}, bodies...)
	b.SetBytes(clusters * clusterSize)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		r, bodies := c.next()
		b.StartTimer()
		mustAppend(b, w, []xds.Record{r}, bodies...)
	}
	_ = w.Close()
	st, err := Stat(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(st.PushBytes)/float64(st.DiskBytes), "raw/disk")
}

func BenchmarkFirstPush25MB(b *testing.B) {
	var bodies []xds.Body
	p := &xds.Push{}
	for i := range 20_000 {
		x := xds.NewBody([]byte(fmt.Sprintf("%-*s", clusterSize, fmt.Sprintf("outbound|8080||svc-%d.ns.svc.cluster.local", i))))
		bodies = append(bodies, x)
		p.Resources = append(p.Resources, xds.Entry{Name: fmt.Sprintf("outbound|8080||svc-%d.ns.svc.cluster.local", i), Digest: x.Digest})
	}
	b.SetBytes(20_000 * clusterSize)
	b.ReportAllocs()
	for b.Loop() {
		dir, _ := os.MkdirTemp(b.TempDir(), "")
		w := mustOpen(b, Config{Dir: dir})
		mustAppend(b, w, []xds.Record{{Kind: xds.KindPush, Push: p}}, bodies...)
		_ = w.Close()
	}
}

// BenchmarkOpen1000 opens a store of 1,000 pushes with all checksums.
func BenchmarkOpen1000(b *testing.B) {
	dir := benchStore(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		r, err := OpenReader(dir)
		if err != nil {
			b.Fatal(err)
		}
		_ = r.Close()
	}
}

// BenchmarkReadPush reads a push in the middle with all of its bodies, cold.
func BenchmarkReadPush(b *testing.B) {
	dir := benchStore(b, 200)
	for b.Loop() {
		b.StopTimer()
		r := mustRead(b, dir)
		b.StartTimer()
		for rec := range r.Records(web, 100) {
			refs(&rec, func(d xds.Digest) {
				if _, ok, err := r.Body(d); !ok || err != nil {
					b.Fatal(ok, err)
				}
			})
			break
		}
	}
}

// BenchmarkReadAll reads the records of 200 pushes.
func BenchmarkReadAll(b *testing.B) {
	r := mustRead(b, benchStore(b, 200))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range r.Records(web, 1) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSnapshot reads a past push with all of its bodies, each time by a new
// reader that has seen nothing of it, and reports what 1,000 pushes take.
func BenchmarkSnapshot(b *testing.B) {
	const pushes = 1000
	dir := benchStore(b, pushes)
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		r := mustRead(b, dir)
		at := uint64(1 + (i*617)%pushes)
		b.StartTimer()
		start := time.Now()
		for rec := range r.Records(web, at) {
			refs(&rec, func(d xds.Digest) {
				if _, ok, err := r.Body(d); !ok || err != nil {
					b.Fatal(ok, err)
				}
			})
			break
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/p50")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "ms/p99")
	st, err := Stat(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(st.PushBytes)/float64(st.DiskBytes), "raw/disk")
	b.ReportMetric(float64(st.DiskBytes)/1000, "KB/disk")
}
