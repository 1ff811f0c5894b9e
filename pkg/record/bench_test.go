package record_test

import (
	"fmt"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// BenchmarkSight is a full push of 3,000 clusters of 700 bytes: seen before, as
// nearly all of every push is, and new.
func BenchmarkSight(b *testing.B) {
	log := &record.Memory{}
	rec, err := record.New(record.Config{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	sight := func(s xds.Sighting) {
		s.Stream = 1
		if err := rec.Sight(s); err != nil {
			b.Fatal(err)
		}
	}
	req := str(str(nil, 2, string(node("web"))), 4, xds.ClusterType)
	sight(xds.Sighting{Kind: xds.SawOpen, Open: &xds.Open{Method: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"}})
	sight(xds.Sighting{Kind: xds.SawRequest, Msg: &xds.Message{Envelope: req}})
	for _, state := range []xds.ChunkState{xds.ChunkRaw, xds.ChunkKnown} {
		b.Run(map[xds.ChunkState]string{xds.ChunkRaw: "new", xds.ChunkKnown: "known"}[state], func(b *testing.B) {
			b.SetBytes(3000 * 800)
			for n := 0; b.Loop(); n++ {
				m := &xds.Message{Envelope: str(nil, 4, xds.ClusterType)}
				for i := range 3000 {
					c := xds.Chunk{State: state, Key: xds.Key{1, byte(i), byte(i >> 8)}, Size: 800}
					if state == xds.ChunkRaw {
						c.Key[3], c.Key[4] = byte(n), byte(n>>8)
						c.Raw = anyOf(xds.ClusterType, fmt.Sprint(i), fmt.Sprintf("%700d", n))
					}
					m.Chunks = append(m.Chunks, c)
				}
				sight(xds.Sighting{Kind: xds.SawResponse, Msg: m})
			}
		})
	}
}
