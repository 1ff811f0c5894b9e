package replay

import (
	"context"
	"fmt"
	"maps"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// asPushed are the types that a dump shows as they were pushed; of assignments it
// shows what became of them.
var asPushed = []string{xds.ListenerType, xds.ClusterType, xds.RouteType}

// Comparer compares an Envoy's /config_dump with recorded snapshots.
type Comparer struct {
	bodies *Bodies
	dump   func(context.Context) ([]byte, error)
	seen   map[xds.Digest]xds.Digest // recorded -> as it is served and shown
	made   map[xds.Digest][]byte     // bodies of seen that differ from the recorded ones
}

// NewComparer compares what dump gives.
func NewComparer(b *Bodies, dump func(context.Context) ([]byte, error)) *Comparer {
	return &Comparer{bodies: b, dump: dump, seen: map[xds.Digest]xds.Digest{}, made: map[xds.Digest][]byte{}}
}

// patience of a comparison: what Envoy acknowledged it may still be warming.
const comparing = 5 * time.Second

// Compare waits a while for the dump to equal what the sidecar held after a step,
// and lists what differs. A listener that only drains is not held.
func (c *Comparer) Compare(ctx context.Context, s *Step) ([]Difference, error) {
	for deadline, pause := time.Now().Add(comparing), 50*time.Millisecond; ; pause = min(2*pause, time.Second) {
		raw, err := c.dump(ctx)
		if err != nil {
			return nil, err
		}
		diffs, err := c.compare(raw, s.Snapshot)
		if err != nil || len(diffs) == 0 || time.Now().After(deadline) {
			return diffs, err
		}
		select {
		case <-ctx.Done():
			return diffs, nil
		case <-time.After(pause):
		}
	}
}

func (c *Comparer) compare(raw []byte, want *state.Snapshot) ([]Difference, error) {
	d, err := configdump.Read(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the config_dump: %w", err)
	}
	bodies := make(map[xds.Digest][]byte, len(d.Bodies))
	for _, b := range d.Bodies {
		bodies[b.Digest] = b.Bytes
	}
	f := state.New(nil)
	for _, r := range d.Records {
		f.Apply(r)
	}
	live := f.Active(d.Sidecar)
	cache := decode.New(func(x xds.Digest) ([]byte, bool) {
		if b, ok := bodies[x]; ok {
			return b, true
		}
		if b, ok := c.made[x]; ok {
			return b, true
		}
		return c.bodies.read(x)
	}, 0)
	out := c.resources(cache, want, live)
	return append(out, endpoints(cache, want, live)...), nil
}

// resources compares what a dump shows as it was pushed.
func (c *Comparer) resources(cache *decode.Cache, want, live *state.Snapshot) []Difference {
	var a, b *state.Snapshot
	ea, eb := a.Edit(), b.Edit()
	for _, typ := range asPushed {
		for n, d := range want.All(typ) {
			ea.Set(typ, n, c.shown(typ, n, d))
		}
		for n, d := range live.All(typ) {
			eb.Set(typ, n, d)
		}
	}
	var out []Difference
	for _, x := range diff.New(cache).Compare(ea.Done(), eb.Done()).Changes {
		out = append(out, Difference{Type: x.Type, Name: x.Name, Op: ops[x.Op], Fields: x.Paths})
	}
	return out
}

var ops = map[string]string{diff.Add: "extra", diff.Remove: "missing", diff.Modify: "different"}

// shown is what a dump shows of a recorded resource: as it is served, without what
// Envoy takes for a secret.
func (c *Comparer) shown(typ, name string, d xds.Digest) xds.Digest {
	if x, ok := c.seen[d]; ok {
		return x
	}
	out := d
	if body, err := c.bodies.Shown(typ, name, d); err == nil && body != nil {
		if b, err := (proto.MarshalOptions{Deterministic: true}).Marshal(body); err == nil {
			out = xds.DigestOf(b)
			c.made[out] = b
		}
	}
	c.seen[d] = out
	return out
}

// endpoints compares the hosts of the clusters whose assignments were pushed.
func endpoints(cache *decode.Cache, want, live *state.Snapshot) []Difference {
	var out []Difference
	for name, d := range want.All(xds.ClusterType) {
		m, err := decode.As[*clusterv3.Cluster](cache, d)
		if err != nil || m.GetType() != clusterv3.Cluster_EDS {
			continue
		}
		key := m.GetEdsClusterConfig().GetServiceName()
		if key == "" {
			key = name
		}
		_, offered := want.Lookup(xds.EndpointType, key)
		if !offered {
			continue
		}
		a, b := hostsOf(cache, want, key, m), hostsOf(cache, live, key, m)
		if b == nil {
			b = hostsOf(cache, live, name, m)
		}
		if !maps.Equal(a, b) {
			out = append(out, Difference{Type: xds.EndpointType, Name: key, Op: "different", Fields: hostFields(a, b)})
		}
	}
	return out
}
