package replay

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// asPushed are the types that a dump shows as they were pushed; of assignments it
// shows what became of them.
var asPushed = []string{xds.ListenerType, xds.ClusterType, xds.RouteType}

// Comparer compares an Envoy's /config_dump with recorded snapshots. What it was served
// must not change in form while it is in use, but by Bodies.Drop.
type Comparer struct {
	bodies *Bodies
	dump   func(context.Context) ([]byte, error)
	drops  int                       // of the bodies, when the rest was learned
	seen   map[xds.Digest]xds.Digest // recorded -> as it is served and shown
	made   map[xds.Digest][]byte     // bodies of seen that differ from the recorded ones
	known  known
}

// NewComparer compares what dump gives.
func NewComparer(b *Bodies, dump func(context.Context) ([]byte, error)) *Comparer {
	c := &Comparer{bodies: b, dump: dump}
	c.forget()
	return c
}

func (c *Comparer) forget() {
	c.seen, c.made, c.known = map[xds.Digest]xds.Digest{}, map[xds.Digest][]byte{}, known{}
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
	if n := c.bodies.drops(); n != c.drops {
		c.forget()
		c.drops = n
	}
	x := c.known.extract(raw, want)
	d, err := configdump.Read(x.rest)
	if err != nil {
		return nil, fmt.Errorf("reading the config_dump: %w (%.100s)", err, raw)
	}
	bodies := make(map[xds.Digest][]byte, len(d.Bodies))
	for _, b := range d.Bodies {
		bodies[b.Digest] = b.Bytes
	}
	f := state.New(nil)
	for _, r := range d.Records {
		f.Apply(r)
	}
	v := &view{want: want, live: f.Active(d.Sidecar), same: x.same, hosts: x.hosts}
	v.cache = decode.New(func(x xds.Digest) ([]byte, bool) {
		if b, ok := bodies[x]; ok {
			return b, true
		}
		if b, ok := c.made[x]; ok {
			return b, true
		}
		return c.bodies.read(x)
	}, 0)
	out := append(c.resources(v), v.endpoints()...)
	c.known.learn(x, want, out)
	return out, nil
}

// view is what one comparison compares.
type view struct {
	want, live *state.Snapshot
	same       map[string]bool   // known to be equal
	hosts      map[string][]byte // assignments as the dump shows them
	cache      *decode.Cache
}

// resources compares what a dump shows as it was pushed.
func (c *Comparer) resources(v *view) []Difference {
	var a, b *state.Snapshot
	ea, eb := a.Edit(), b.Edit()
	for _, typ := range asPushed {
		for n, d := range v.want.All(typ) {
			if !v.same[key(typ, n)] {
				ea.Set(typ, n, c.shown(typ, n, d))
			}
		}
		for n, d := range v.live.All(typ) {
			if !v.same[key(typ, n)] { // a route configuration may stand there twice
				eb.Set(typ, n, d)
			}
		}
	}
	var out []Difference
	for _, x := range diff.New(v.cache).Compare(ea.Done(), eb.Done()).Changes {
		if x.Type == xds.RouteType && x.Op == diff.Add && !v.routed(x.Name) {
			continue // what drains keeps its routes
		}
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
func (v *view) endpoints() []Difference {
	var out []Difference
	for name, d := range v.want.All(xds.ClusterType) {
		m, err := decode.As[*clusterv3.Cluster](v.cache, d)
		if err != nil || m.GetType() != clusterv3.Cluster_EDS {
			continue
		}
		eds := cmp.Or(m.GetEdsClusterConfig().GetServiceName(), name)
		if _, offered := v.want.Lookup(xds.EndpointType, eds); !offered || v.same[key(xds.EndpointType, eds)] {
			continue
		}
		if a, b := v.recorded(eds, m), v.shown(eds, m); !maps.Equal(a, b) {
			out = append(out, Difference{Type: xds.EndpointType, Name: eds, Op: "different", Fields: hostFields(a, b)})
		}
	}
	return out
}

// routed reports whether a listener refers to a route configuration.
func (v *view) routed(name string) bool {
	found := false
	for _, d := range v.want.All(xds.ListenerType) {
		if m, err := v.cache.Message(d); err == nil {
			walk(m.ProtoReflect(), func(x protoreflect.Message) {
				rds, ok := x.Interface().(*hcmv3.Rds)
				found = found || ok && rds.GetRouteConfigName() == name
			})
		}
	}
	return found
}
