package record

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The field numbers below are those of envoy/service/discovery/v3/discovery.proto
// and envoy/api/v2/discovery.proto, which agree. What has no constant here
// (resource_locators, control_plane, resource_errors, ...) stays in Rest.
const (
	sotwReqVersion = 1
	sotwReqNode    = 2
	sotwReqNames   = 3
	sotwReqType    = 4
	sotwReqNonce   = 5
	sotwReqError   = 6

	deltaReqNode        = 1
	deltaReqType        = 2
	deltaReqSubscribe   = 3
	deltaReqUnsubscribe = 4
	deltaReqInitial     = 5
	deltaReqNonce       = 6
	deltaReqError       = 7

	respVersion   = 1
	respResources = 2
	respType      = 4
	respNonce     = 5
	respRemoved   = 6 // Delta; control_plane in the other variant

	anyType  = 1
	anyValue = 2

	wrapVersion      = 1
	wrapResource     = 2
	wrapName         = 3
	wrapAliases      = 4
	wrapTTL          = 6
	wrapResourceName = 8
)

// Split takes the resource entries out of an encoded DiscoveryResponse of either
// variant, as an observer on the wire does. The parts alias raw.
func Split(raw []byte) (*xds.Message, error) {
	m := &xds.Message{Size: len(raw)}
	start, end := 0, 0 // the run of envelope bytes not copied yet
	copied := false
	err := each(raw, func(f field) error {
		if f.num != respResources || !f.bytes() {
			end += len(f.raw)
			return nil
		}
		m.Envelope, copied = append(m.Envelope, raw[start:end]...), true
		end += len(f.raw)
		start = end
		m.Chunks = append(m.Chunks, xds.Chunk{Size: len(f.val), Raw: f.val})
		return nil
	})
	if err != nil {
		return &xds.Message{Size: len(raw), Envelope: raw}, fmt.Errorf("splitting a response: %w", err)
	}
	if !copied {
		m.Envelope = raw
		return m, nil
	}
	m.Envelope = append(m.Envelope, raw[start:]...)
	return m, nil
}

// request is a parsed request with its node, which is kept apart.
type request struct {
	xds.Request
	node    []byte
	hasNode bool
}

func parseRequest(b []byte, delta bool) (request, error) {
	var q request
	var rest ordered
	q.Delta = delta
	set := q.sotw
	if delta {
		set = q.delta
	}
	err := each(b, func(f field) error {
		known, err := set(f)
		if !known {
			rest.raw(f)
		}
		return err
	})
	q.Rest = rest.encode()
	return q, err
}

func (q *request) sotw(f field) (bool, error) {
	if !f.bytes() {
		return false, nil
	}
	switch f.num {
	case sotwReqVersion:
		q.Version = string(f.val)
	case sotwReqNode:
		q.node, q.hasNode = f.val, true
	case sotwReqNames:
		q.Names = append(q.Names, string(f.val))
	case sotwReqType:
		q.Type = string(f.val)
	case sotwReqNonce:
		q.Nonce = string(f.val)
	case sotwReqError:
		return true, q.status(f.val)
	default:
		return false, nil
	}
	return true, nil
}

func (q *request) delta(f field) (bool, error) {
	if !f.bytes() {
		return false, nil
	}
	switch f.num {
	case deltaReqNode:
		q.node, q.hasNode = f.val, true
	case deltaReqType:
		q.Type = string(f.val)
	case deltaReqSubscribe:
		q.Names = append(q.Names, string(f.val))
	case deltaReqUnsubscribe:
		q.Unsubscribe = append(q.Unsubscribe, string(f.val))
	case deltaReqInitial:
		return true, q.initial(f.val)
	case deltaReqNonce:
		q.Nonce = string(f.val)
	case deltaReqError:
		return true, q.status(f.val)
	default:
		return false, nil
	}
	return true, nil
}

func (q *request) initial(entry []byte) error {
	var k, v string
	err := each(entry, func(f field) error {
		switch {
		case f.num == 1 && f.bytes():
			k = string(f.val)
		case f.num == 2 && f.bytes():
			v = string(f.val)
		}
		return nil
	})
	if q.Initial == nil {
		q.Initial = map[string]string{}
	}
	q.Initial[k] = v
	return err
}

func (q *request) status(b []byte) error {
	st := &xds.Status{}
	var rest ordered
	err := each(b, func(f field) error {
		switch {
		case f.num == 1 && f.typ == protowire.VarintType:
			st.Code = int32(f.varint())
		case f.num == 2 && f.bytes():
			st.Message = string(f.val)
		default:
			rest.raw(f)
		}
		return nil
	})
	st.Rest = rest.encode()
	q.Error = st
	return err
}

// parsePush reads a response's envelope. Entries that an observer left in the
// envelope are returned as chunks.
func parsePush(b []byte, delta bool) (*xds.Push, []xds.Chunk, error) {
	p := &xds.Push{Delta: delta}
	var rest ordered
	var chunks []xds.Chunk
	err := each(b, func(f field) error {
		switch {
		case !f.bytes():
			rest.raw(f)
		case f.num == respVersion:
			p.Version = string(f.val)
		case f.num == respResources:
			chunks = append(chunks, xds.Chunk{Size: len(f.val), Raw: f.val})
		case f.num == respType:
			p.Type = string(f.val)
		case f.num == respNonce:
			p.Nonce = string(f.val)
		case f.num == respRemoved && delta:
			p.Removed = append(p.Removed, string(f.val))
		default:
			rest.raw(f)
		}
		return nil
	})
	p.Rest = rest.encode()
	return p, chunks, err
}

// variant is what is known of the protocol variant of a stream.
type variant uint8

const (
	variantUnknown variant = iota
	variantSotW
	variantDelta
)

// method says what a gRPC method carries; discovery false means its messages are
// not ours to read. HealthDiscoveryService has the name only.
func method(m string) (v variant, discovery bool) {
	service, name, ok := strings.Cut(strings.TrimPrefix(m, "/"), "/")
	if !ok || !strings.HasSuffix(service, "DiscoveryService") || strings.HasSuffix(service, "HealthDiscoveryService") {
		return variantUnknown, false
	}
	switch {
	case strings.HasPrefix(name, "Delta"):
		return variantDelta, true
	case strings.HasPrefix(name, "Stream"), strings.HasPrefix(name, "Fetch"):
		return variantSotW, true
	}
	return variantUnknown, false
}

// impliedType is the type that a single-type service speaks of when a message
// leaves type_url out.
func impliedType(m string) string {
	_, name, _ := strings.Cut(strings.TrimPrefix(m, "/"), "/")
	for _, p := range []string{"Stream", "Delta", "Fetch"} {
		name = strings.TrimPrefix(name, p)
	}
	v3 := map[string]string{"Listeners": xds.ListenerType, "Clusters": xds.ClusterType, "Routes": xds.RouteType,
		"Endpoints": xds.EndpointType, "Secrets": xds.SecretType, "Runtime": xds.RuntimeType, "ScopedRoutes": xds.ScopedRouteType,
		"VirtualHosts": xds.VirtualHostType, "ExtensionConfigs": xds.ExtensionType}[name]
	if !strings.Contains(m, "v2") {
		return v3
	}
	for _, p := range []string{"envoy.api.v2.", "envoy.api.v2.auth.", "envoy.api.v2.route.", "envoy.service.discovery.v2.", "envoy.api.v2.core."} {
		if u := xds.TypePrefix + p + v3[strings.LastIndexByte(v3, '.')+1:]; v3 != "" && xds.Canonical(u) == v3 {
			return u
		}
	}
	return v3
}

// guessVariant tells the variants apart by a message where the stream's start was
// not seen: a Delta request has its type URL in field 2, the other in field 4; an
// entry of a state-of-the-world response starts with a type URL.
func guessVariant(m *xds.Message, response bool) variant {
	v := variantUnknown
	look := func(b []byte, num protowire.Number, found variant) {
		_ = each(b, func(f field) error {
			if f.num == num && f.bytes() && strings.HasPrefix(string(f.val), xds.TypePrefix) && v == variantUnknown {
				v = found
			}
			return nil
		})
	}
	if !response {
		look(m.Envelope, deltaReqType, variantDelta)
		look(m.Envelope, sotwReqType, variantSotW)
		return v
	}
	if len(m.Chunks) == 0 {
		return v
	}
	first := m.Chunks[0].Raw
	look(first, anyType, variantSotW)
	if v == variantUnknown && len(first) > 0 {
		return variantDelta
	}
	return v
}
