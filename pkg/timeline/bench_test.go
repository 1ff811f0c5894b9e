package timeline_test

import (
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/timeline"
)

// BenchmarkWalkLarge walks 3,000 services and ten small changes.
func BenchmarkWalkLarge(b *testing.B) {
	for _, name := range []string{"10-large", "15-large-sotw"} {
		src := history(b, name)
		recs := recordsOf(b, src, sidecars(b, src)[0])
		cfg := real(src)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				walk(cfg, recs)
			}
		})
	}
}

// BenchmarkSmallChange is one full push, with one small change, in a sidecar of 3,000 services.
func BenchmarkSmallChange(b *testing.B) {
	src := history(b, "10-large")
	recs := recordsOf(b, src, sidecars(b, src)[0])
	cfg := real(src)
	walk(cfg, recs)
	b.ReportAllocs()
	for range b.N {
		b.StopTimer()
		w := timeline.New(cfg)
		n := 0
		for ; recs[n].Push == nil || recs[n].Push.Number < 15; n++ {
			w.Record(recs[n])
		}
		b.StartTimer()
		for ; recs[n].Push == nil || recs[n].Push.Number < 19; n++ {
			w.Record(recs[n])
		}
	}
}
