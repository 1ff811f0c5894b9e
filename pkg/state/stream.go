package state

import (
	"maps"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// stream is what one stream gave its client. After its end it stays as long as
// the client keeps what came by it: Envoy loses nothing with a connection.
type stream struct {
	id     uint64
	open   xds.Open
	closed bool
	old    bool // known from a base: its first requests were before it
	pushed bool // something came by it

	offered, accepted *Snapshot
	// versions holds the hash of the version of each accepted Delta resource
	// that has one, to compare with what the client claims on its next stream.
	versions *Snapshot
	// shaky names what a partly rejected Delta push changed: Envoy applies it
	// but does not list it in initial_resource_versions
	// (source/extensions/config_subscription/grpc/delta_subscription_state.cc
	// notes versions only after the whole response was applied).
	shaky *Snapshot
	// gone names what was unsubscribed by name: a push under way that still
	// holds it is ignored.
	gone  *Snapshot
	types map[string]interest
	lost  []*pending // unanswered when the stream ended
}

// interest is how a stream asks for one type.
type interest struct {
	names   map[string]bool // the last list of state of the world by name; nil = everything, or Delta
	version string          // last accepted
	acked   bool            // a push of the type was accepted by this stream
}

func newStream(id uint64) *stream {
	return &stream{id: id, types: map[string]interest{}}
}

func (st *stream) clone() *stream {
	c := *st
	c.types = maps.Clone(st.types)
	return &c
}

// single reports whether the stream serves one resource type only (a service
// such as DeltaEndpoints), not the aggregated service.
func (st *stream) single() bool {
	return st.open.Method != "" && !strings.Contains(st.open.Method, "AggregatedDiscoveryService")
}

// like reports whether two streams are of one service. Streams without a known
// method (of a foreign base) are like every other.
func (st *stream) like(o *stream) bool {
	return st.open.Method == "" || o.open.Method == "" || st.open.Method == o.open.Method
}

// holds reports whether the stream gave the client anything of a type.
func (st *stream) holds(typ string) bool {
	return st.accepted.Len(typ) > 0 || st.offered.Len(typ) > 0
}

// wanted reports whether the client still asks for a name.
func (st *stream) wanted(typ, name string) bool {
	if names := st.types[typ].names; names != nil && !names[name] && !names["*"] {
		return false
	}
	_, gone := st.gone.Lookup(typ, name)
	return !gone
}
