package timeline_test

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestEnvReachesTheEvaluation: a cluster that only the bootstrap has is known in
// the views that events are made of.
func TestEnvReachesTheEvaluation(t *testing.T) {
	src := history(t, "01-seed-mysql-delta")
	recs := recordsOf(t, src, sidecars(t, src)[0])
	kind := func(cfg timeline.Config) (k xds.VerdictKind) {
		cfg.Judge = func(in judge.Input) []xds.Event {
			if v, ok := in.New.(*traffic.View); ok {
				k = v.Cluster("of-bootstrap").Kind
			}
			return nil
		}
		walk(cfg, recs)
		return k
	}
	with := real(src)
	with.Env.Static = []proto.Message{&clusterv3.Cluster{Name: "of-bootstrap"}}
	if a, b := kind(real(src)), kind(with); a == b || b == "" {
		t.Errorf("without %q, with %q", a, b)
	}
}
