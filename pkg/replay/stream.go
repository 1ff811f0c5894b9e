package replay

import (
	"context"
	"regexp"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// all stands among names for everything there is (the wildcard of the protocol).
const all = "*"

// stream is one gRPC stream of a client.
type stream struct {
	delta bool
	only  string // the type of a service of one type
	subs  map[string]*subscription
	queue []proto.Message
	ready chan struct{}
}

// subscription is what one stream asked for of one type.
type subscription struct {
	url   string // as asked
	typ   string // canonical
	wild  bool
	named bool // state of the world: it named resources once
	names map[string]bool
	held  map[string]bool      // sent and not removed, or claimed
	wants map[string]bool      // asked for and not answered since
	sent  map[string]*delivery // by nonce, until answered
}

// takes reports whether a resource was asked for.
func (sub *subscription) takes(name string) bool { return sub.wild || sub.names[name] }

var methods = regexp.MustCompile(`^/envoy\.[A-Za-z0-9_.]*DiscoveryService/(Stream|Delta)([A-Za-z]+)$`)

// byMethod gives the type of a service of a single type, for requests that do not
// repeat it.
var byMethod = map[string]string{
	"Clusters": xds.ClusterType, "Endpoints": xds.EndpointType, "Listeners": xds.ListenerType, "Routes": xds.RouteType,
	"Secrets": xds.SecretType, "ScopedRoutes": xds.ScopedRouteType, "VirtualHosts": xds.VirtualHostType,
	"ExtensionConfigs": xds.ExtensionType, "Runtime": xds.RuntimeType, "AggregatedResources": "",
}

// handle serves one stream of any discovery service until the client ends it.
func (h *hub) handle(_ any, ss grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(ss)
	m := methods.FindStringSubmatch(method)
	if m == nil {
		return status.Errorf(codes.Unimplemented, "xdsproxy replay serves discovery only, not %s", method)
	}
	only, ok := byMethod[m[2]]
	if !ok {
		return status.Errorf(codes.Unimplemented, "xdsproxy replay does not serve %s", method)
	}
	s := &stream{delta: m[1] == "Delta", only: only, subs: map[string]*subscription{}, ready: make(chan struct{}, 1)}
	h.join(s)
	ctx, cancel := context.WithCancel(ss.Context())
	sent := make(chan error, 1)
	go func() { sent <- h.sender(ctx, s, ss) }()
	err := h.receive(s, ss)
	h.leave(s)
	cancel()
	<-sent //nolint:errcheck // it was ended by us
	return err
}

func (h *hub) join(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[s] = true
	h.clients++
	h.touch()
}

func (h *hub) leave(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	for _, sub := range s.subs {
		for _, d := range sub.sent {
			d.gone = true
		}
	}
	h.touch()
}

// sender writes what is queued. A failure shows in receive too.
func (h *hub) sender(ctx context.Context, s *stream, ss grpc.ServerStream) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ready:
		}
		h.mu.Lock()
		queue := s.queue
		s.queue = nil
		h.mu.Unlock()
		for _, m := range queue {
			if err := ss.SendMsg(m); err != nil {
				return err
			}
		}
	}
}

// request is what both variants say.
type request struct {
	url, nonce   string
	node         *corev3.Node
	names, unsub []string
	initial      map[string]string
	failed       bool
	message      string
	delta        bool
}

func (h *hub) receive(s *stream, ss grpc.ServerStream) error {
	for {
		r := request{delta: s.delta}
		if s.delta {
			var m discoveryv3.DeltaDiscoveryRequest
			if err := ss.RecvMsg(&m); err != nil {
				return nil // the client's business
			}
			r.url, r.nonce, r.node, r.names, r.unsub, r.initial = m.GetTypeUrl(), m.GetResponseNonce(), m.GetNode(), m.GetResourceNamesSubscribe(), m.GetResourceNamesUnsubscribe(), m.GetInitialResourceVersions()
			r.failed, r.message = m.GetErrorDetail() != nil, m.GetErrorDetail().GetMessage()
		} else {
			var m discoveryv3.DiscoveryRequest
			if err := ss.RecvMsg(&m); err != nil {
				return nil
			}
			r.url, r.nonce, r.node, r.names = m.GetTypeUrl(), m.GetResponseNonce(), m.GetNode(), m.GetResourceNames()
			r.failed, r.message = m.GetErrorDetail() != nil, m.GetErrorDetail().GetMessage()
		}
		if r.url == "" {
			r.url = s.only
		}
		h.request(s, r)
	}
}

// request takes in one message of a client.
func (h *hub) request(s *stream, r request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.node == nil && r.node != nil {
		h.node = r.node
	}
	typ := xds.Canonical(r.url)
	sub, first := s.subs[typ], false
	if sub == nil {
		first = true
		sub = &subscription{url: r.url, typ: typ, names: map[string]bool{}, held: map[string]bool{}, wants: map[string]bool{}, sent: map[string]*delivery{}}
		s.subs[typ] = sub
	}
	answers := sub.answer(r)
	if r.delta {
		sub.delta(r, first)
	} else {
		sub.sotw(r, first, answers)
	}
	h.supply(s, sub, false)
	h.touch()
}

// answer settles the delivery that a request answers and reports whether it did.
func (sub *subscription) answer(r request) bool {
	d := sub.sent[r.nonce]
	if d == nil {
		return false
	}
	delete(sub.sent, r.nonce)
	d.answered, d.rejected, d.nack = time.Now(), r.failed, r.message
	return true
}

// delta takes in what a request of the incremental variant asks for.
func (sub *subscription) delta(r request, first bool) {
	if first && len(r.names) == 0 && len(r.unsub) == 0 && wildcards(sub.typ) {
		sub.wild, sub.wants[all] = true, true
	}
	for n := range r.initial {
		sub.held[n] = true
	}
	for _, n := range r.names {
		if n == all {
			sub.wild = true
		}
		sub.names[n], sub.wants[n] = true, true
	}
	for _, n := range r.unsub {
		if n == all {
			sub.wild = false
		}
		delete(sub.names, n)
		delete(sub.wants, n)
		delete(sub.held, n)
	}
}

// sotw takes in what a request of the other variant asks for. A request that answers
// nothing asks for all of it again.
func (sub *subscription) sotw(r request, first, answers bool) {
	sub.named = sub.named || len(r.names) > 0
	if !sub.named && wildcards(sub.typ) {
		if first {
			sub.wild, sub.wants[all] = true, true
		}
		return
	}
	now := make(map[string]bool, len(r.names))
	for _, n := range r.names {
		now[n] = true
		if !sub.names[n] || !answers {
			sub.wants[n] = true
		}
	}
	for n := range sub.names {
		if !now[n] {
			delete(sub.wants, n)
			delete(sub.held, n)
		}
	}
	sub.names, sub.wild = now, now[all]
}

// wildcards reports whether naming nothing means everything, as it does for all
// types but those that others refer to.
func wildcards(typ string) bool {
	switch typ {
	case xds.EndpointType, xds.RouteType, xds.SecretType, xds.ExtensionType, xds.VirtualHostType:
		return false
	}
	return true
}
