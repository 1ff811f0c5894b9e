package timeline_test

import "testing"

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
