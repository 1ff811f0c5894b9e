package record

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// EncodeRequest puts a request together again: fields in number order, node as
// given (nil leaves it out).
func EncodeRequest(q *xds.Request, node []byte, hasNode bool) []byte {
	var o ordered
	o.fields(q.Rest)
	if q.Delta {
		if hasNode {
			o.bytes(deltaReqNode, node)
		}
		o.str(deltaReqType, q.Type)
		o.strs(deltaReqSubscribe, q.Names)
		o.strs(deltaReqUnsubscribe, q.Unsubscribe)
		for _, k := range slices.Sorted(maps.Keys(q.Initial)) {
			o.bytes(deltaReqInitial, mapEntry(k, q.Initial[k]))
		}
		o.str(deltaReqNonce, q.Nonce)
		o.status(deltaReqError, q.Error)
		return o.encode()
	}
	o.str(sotwReqVersion, q.Version)
	if hasNode {
		o.bytes(sotwReqNode, node)
	}
	o.strs(sotwReqNames, q.Names)
	o.str(sotwReqType, q.Type)
	o.str(sotwReqNonce, q.Nonce)
	o.status(sotwReqError, q.Error)
	return o.encode()
}

// mapEntry writes both fields, empty ones too: so do Envoy and Go.
func mapEntry(k, v string) []byte {
	var o ordered
	o.bytes(1, []byte(k))
	o.bytes(2, []byte(v))
	return o.encode()
}

func (o *ordered) status(num protowire.Number, st *xds.Status) {
	if st == nil {
		return
	}
	var s ordered
	s.fields(st.Rest)
	if st.Code != 0 {
		b := protowire.AppendTag(nil, 1, protowire.VarintType)
		s.raw(field{num: 1, raw: protowire.AppendVarint(b, uint64(int64(st.Code)))})
	}
	s.str(2, st.Message)
	o.bytes(num, s.encode())
}

// EncodePush puts a response together again: fields in number order, the bytes of
// each resource as they were kept. Entries whose body is not there are left out;
// their indexes are returned.
func EncodePush(p *xds.Push, body func(xds.Digest) ([]byte, bool)) (raw []byte, missing []int) {
	var o ordered
	o.fields(p.Rest)
	o.str(respVersion, p.Version)
	for i, e := range p.Resources {
		b, ok := encodeEntry(p, e, body)
		if !ok {
			missing = append(missing, i)
			continue
		}
		o.bytes(respResources, b)
	}
	o.str(respType, p.Type)
	o.str(respNonce, p.Nonce)
	if p.Delta {
		o.strs(respRemoved, p.Removed)
	}
	return o.encode(), missing
}

func encodeEntry(p *xds.Push, e xds.Entry, body func(xds.Digest) ([]byte, bool)) ([]byte, bool) {
	var b []byte
	switch e.State {
	case xds.EntryBody:
		var ok bool
		if b, ok = body(e.Digest); !ok {
			return nil, false
		}
	case xds.EntryEmpty:
	default:
		return nil, false
	}
	if p.Delta {
		return encodeWrapper(e, b), true
	}
	if !e.Wrapped {
		return b, true
	}
	var outer ordered
	outer.str(anyType, wrapperType(p.Type))
	outer.bytes(anyValue, encodeWrapper(e, b))
	return outer.encode(), true
}

func wrapperType(typ string) string {
	if strings.HasPrefix(typ, xds.TypePrefix+"envoy.api.v2.") {
		return xds.ResourceWrapper2
	}
	return xds.ResourceWrapper
}

func encodeWrapper(e xds.Entry, body []byte) []byte {
	var o ordered
	o.fields(e.Rest)
	named := firstString(lookup(e.Rest, wrapResourceName)) == e.Name
	o.str(wrapVersion, e.Version)
	if e.State == xds.EntryBody {
		o.bytes(wrapResource, body)
	}
	if !named {
		o.str(wrapName, e.Name)
	}
	o.strs(wrapAliases, e.Aliases)
	if e.TTL > 0 {
		o.bytes(wrapTTL, encodeDuration(e.TTL))
	}
	return o.encode()
}
