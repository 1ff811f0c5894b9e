package configdump

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// method is the stream that the records pretend to come from: Delta, because
// there a push names what it brings and says nothing about the rest.
const method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

// Nobody is the node id given to a dump without a bootstrap.
const Nobody = "config-dump"

// order is that in which a control plane brings the types up.
var order = []string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.RouteType, xds.ScopedRouteType, xds.ExtensionType, xds.SecretType}

// writer makes the records of one dump.
type writer struct {
	*parts
	conv   *converter
	out    Dump
	bodies map[xds.Digest]bool
	node   xds.Digest // of the node, until the first request has carried it
	pushes uint64
}

func (p *parts) dump() (*Dump, error) {
	conv, err := newConverter()
	if err != nil {
		return nil, err
	}
	w := &writer{parts: p, conv: conv, bodies: map[xds.Digest]bool{}}
	w.readNode()
	w.readStatic()
	w.complete()
	w.record(xds.Record{Kind: xds.KindOpen, Open: &xds.Open{Method: method}})
	for _, typ := range order {
		w.subscribe(typ)
		w.push(typ, w.held[typ], nil, true)
	}
	for _, typ := range order {
		if failed := w.failed[typ]; len(failed) > 0 {
			w.push(typ, failed, refusal(typ, failed), true)
		}
		if len(w.warming[typ]) > 0 {
			w.push(typ, w.warming[typ], nil, false)
		}
	}
	w.out.Draining, w.out.Shown = p.draining, p.there
	w.out.Opaque = slices.Sorted(maps.Keys(conv.unknown))
	w.out.Warnings = p.warnings
	return &w.out, nil
}

func (w *writer) record(r xds.Record) {
	r.Seq, r.Time, r.Stream, r.Sidecar = uint64(len(w.out.Records)+1), w.newest, 1, w.out.Sidecar
	w.out.Records = append(w.out.Records, r)
}

func (w *writer) body(b []byte) xds.Digest {
	body := xds.NewBody(b)
	if !w.bodies[body.Digest] {
		w.bodies[body.Digest] = true
		w.out.Bodies = append(w.out.Bodies, body)
	}
	return body.Digest
}

func (w *writer) readNode() {
	w.out.Sidecar = xds.Sidecar{Node: Nobody}
	node := new(corev3.Node)
	if w.parts.node == nil {
		w.warn("no bootstrap with a node in the dump: whose it is is not known")
		return
	}
	if err := w.conv.into(node, w.parts.node); err != nil {
		w.warn("the node cannot be read: %v", err)
		return
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(node)
	if err != nil {
		w.warn("the node cannot be encoded: %v", err)
		return
	}
	w.out.Node, w.node = node, w.body(b)
	mesh := node.GetMetadata().GetFields()["CLUSTER_ID"].GetStringValue()
	w.out.Sidecar = xds.Sidecar{Node: node.GetId(), Cluster: node.GetCluster(), Mesh: mesh}
}

// readStatic takes what the sections say about static resources, else what the
// bootstrap says: both list the same.
func (w *writer) readStatic() {
	static := w.static
	if len(static) == 0 {
		static = w.resorts
	}
	for _, it := range static {
		var m proto.Message = new(clusterv3.Cluster)
		if it.name == xds.ListenerType {
			m = new(listenerv3.Listener)
		}
		if err := w.conv.resource(it.name, it.body, m); err != nil {
			w.warn("static %s %q cannot be read: %v", xds.ShortType(it.name), nameOf(it.body), err)
			continue
		}
		w.out.Static = append(w.out.Static, m)
	}
}

// subscribe asks for all of LDS and CDS and for the rest by name.
func (w *writer) subscribe(typ string) {
	if len(w.held[typ]) == 0 && !wildcard(typ) {
		return
	}
	req := &xds.Request{Type: typ, Node: w.node, Delta: true}
	w.node = xds.Digest{}
	if !wildcard(typ) {
		for _, it := range w.held[typ] {
			req.Names = append(req.Names, it.name)
		}
	}
	w.record(xds.Record{Kind: xds.KindRequest, Request: req})
}

func wildcard(typ string) bool { return typ == xds.ClusterType || typ == xds.ListenerType }

// push records one response and, if answered, its ACK or NACK.
func (w *writer) push(typ string, items []item, refused *xds.Status, answered bool) {
	if len(items) == 0 && !(wildcard(typ) && w.there[typ]) {
		return
	}
	w.pushes++
	push := &xds.Push{Number: w.pushes, Type: typ, Version: w.version, Nonce: fmt.Sprint(w.pushes), Delta: true}
	for _, it := range items {
		e := w.resource(typ, it)
		push.Resources, push.Size = append(push.Resources, e), push.Size+e.Size
	}
	w.record(xds.Record{Kind: xds.KindPush, Push: push})
	if !answered {
		return
	}
	ack := xds.Request{Type: typ, Nonce: push.Nonce, Delta: true, Error: refused}
	w.record(xds.Record{Kind: xds.KindAnswer, Answer: &xds.Answer{Request: ack, Push: w.pushes}})
}

// resource converts one item; what cannot be read is a name without a body.
func (w *writer) resource(typ string, it item) xds.Entry {
	e := xds.Entry{Name: it.name, Version: it.version, State: xds.EntryBodyless}
	if it.body == nil {
		return e
	}
	b, err := w.conv.packed(typ, it.body)
	if err != nil {
		w.warn("%s %q cannot be read: %v", xds.ShortType(typ), it.name, err)
		return e
	}
	b = plain(typ, b)
	e.State, e.Digest, e.Size = xds.EntryBody, w.body(b), len(b)
	return e
}

// refusal words the rejection as Envoy does (source/common/listener_manager/lds_api.cc
// and source/common/upstream/cds_api_impl.cc).
func refusal(typ string, items []item) *xds.Status {
	what := "cluster(s)"
	if typ == xds.ListenerType {
		what = "listener(s)"
	}
	var b strings.Builder
	for _, it := range items {
		fmt.Fprintf(&b, "%s: %s\n", it.name, it.details)
	}
	return &xds.Status{Code: 13, Message: fmt.Sprintf("Error adding/updating %s %s", what, b.String())}
}

// byName sorts and takes the first of each name.
func byName(items []item) []item {
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.name, b.name) })
	return slices.CompactFunc(items, func(a, b item) bool { return a.name == b.name })
}
