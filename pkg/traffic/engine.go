package traffic

import (
	"errors"
	"maps"
	"strings"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Env is what a snapshot does not tell about its sidecar.
type Env struct {
	// Node is the sidecar's node, nil if not known. Its annotations say what is
	// intercepted.
	Node *corev3.Node
	// Istio: the node is Istio's. A cluster that is in no push is then missing,
	// unless it is one of those that Istio's bootstrap brings.
	Istio bool
	// Static holds the clusters and listeners of the bootstrap; nil if not known.
	Static []proto.Message
	// Resolved is what clusters of DNS types had resolved to at that moment, by
	// cluster name: a config_dump tells it. A cluster that is not in it resolves to
	// whatever the pod's resolver says.
	Resolved map[string]*endpointv3.ClusterLoadAssignment
	// Lost4 holds the ports that a 0.0.0.0 listener had in this life of the Envoy and
	// has no more: a "::" listener with ipv4_compat does not get them. nil if that
	// is not known; IPv4 to such a listener is then unknown.
	Lost4 []uint16
}

// Engine compiles resources, each once per digest, and makes Views. It is safe for
// concurrent use; so are its Views.
type Engine struct {
	bodies *decode.Cache

	mu   sync.Mutex // guards what follows
	objs *simplelru.LRU[xds.Digest, object]
	size int64
	last *View // the newest view: the next one mostly differs little
	same shared
}

// object is a compiled resource, of whatever type.
type object struct {
	val  any
	cost int64
}

// maxCompiled bounds what compiled objects take, by the size of the bytes that
// they came from; the least recently used go first.
const maxCompiled = 256 << 20

// NewEngine returns an Engine that reads resources from c.
func NewEngine(c *decode.Cache) *Engine {
	e := &Engine{bodies: c}
	// The bound is in bytes; the count only has to be out of the way.
	e.objs, _ = simplelru.NewLRU(1<<30, func(_ xds.Digest, o object) { e.size -= o.cost })
	return e
}

// compiled returns the compiled form of d, made by compile if it is not there. What
// lacks its body is not kept: the body may come later.
func compiled[T any](e *Engine, d xds.Digest, compile func() (T, error)) T {
	e.mu.Lock()
	if o, ok := e.objs.Get(d); ok {
		if t, ok := o.val.(T); ok {
			e.mu.Unlock()
			return t
		}
	}
	e.mu.Unlock()
	t, err := compile()
	if errors.Is(err, decode.ErrNoBody) {
		return t
	}
	cost := int64(e.bodies.Size(d)) + 256
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.objs.Contains(d) {
		e.size += cost
	}
	e.objs.Add(d, object{t, cost})
	for e.size > maxCompiled && e.objs.Len() > 1 {
		e.objs.RemoveOldest()
	}
	return t
}

func (e *Engine) listener(d xds.Digest) *listener {
	return compiled(e, d, func() (*listener, error) {
		m, err := decode.Once[*listenerv3.Listener](e.bodies, d)
		if err != nil {
			return &listener{digest: d, broken: reason(err)}, err
		}
		return compileListener(m, d), nil
	})
}

func (e *Engine) cluster(d xds.Digest) *cluster {
	return compiled(e, d, func() (*cluster, error) {
		m, err := decode.Once[*clusterv3.Cluster](e.bodies, d)
		if err != nil {
			return &cluster{digest: d, broken: reason(err)}, err
		}
		c := compileCluster(m, d)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.same.cluster(c)
		return c, nil
	})
}

func (e *Engine) routeConfig(d xds.Digest) *routeConfig {
	return compiled(e, d, func() (*routeConfig, error) {
		m, err := decode.Once[*routev3.RouteConfiguration](e.bodies, d)
		if err != nil {
			return &routeConfig{broken: reason(err)}, err
		}
		return compileRoutes(m), nil
	})
}

func (e *Engine) assignment(d xds.Digest) *assignment {
	return compiled(e, d, func() (*assignment, error) {
		m, err := decode.Once[*endpointv3.ClusterLoadAssignment](e.bodies, d)
		if err != nil {
			return &assignment{broken: reason(err)}, err
		}
		a := compileAssignment(m)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.same.assignment(a)
		return a, nil
	})
}

// reason is an error as it stands in a verdict: without the digest.
func reason(err error) string {
	s := err.Error()
	if i := strings.Index(s, ": "); i >= 0 && strings.HasPrefix(s, "decoding ") {
		return s[i+2:]
	}
	return s
}

// View returns the means to ask about s. It is lazy, and cheap when s differs
// little from the snapshot of an earlier View.
func (e *Engine) View(s *state.Snapshot, env Env) *View {
	e.mu.Lock()
	prev := e.last
	e.mu.Unlock()
	v := newView(e, s, env, prev)
	e.mu.Lock()
	e.last = v
	e.mu.Unlock()
	return v
}

// clone is a map to write to, for views that start from another's.
func clone[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}
