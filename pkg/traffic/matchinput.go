package traffic

import (
	"strconv"
	"strings"

	netinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	sslinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
)

func compileInput(a *anypb.Any) (inputFunc, string) {
	m, err := decode.Any(a)
	if err != nil {
		return nil, ""
	}
	return inputOf(m)
}

// inputOf gives what an input reads, "" where there is nothing
// (source/extensions/matching/network/common/inputs.h).
func inputOf(m proto.Message) (inputFunc, string) {
	switch m.(type) {
	case *netinv3.DestinationIPInput:
		return func(q *query) (string, bool) { return q.dst.Addr().String(), true }, "ip"
	case *netinv3.DestinationPortInput:
		return func(q *query) (string, bool) { return strconv.Itoa(int(q.dst.Port())), true }, "port"
	case *netinv3.SourceIPInput, *netinv3.DirectSourceIPInput:
		return func(q *query) (string, bool) { return q.source() }, "source"
	case *netinv3.SourceTypeInput:
		return func(q *query) (string, bool) {
			if _, ok := q.source(); !ok {
				return "", false
			}
			return "local", q.src == q.dst.Addr() || loopback(q.src)
		}, "source"
	case *netinv3.ServerNameInput:
		return func(q *query) (string, bool) { return q.sni, q.sni != "" }, "sni"
	case *netinv3.TransportProtocolInput:
		return func(q *query) (string, bool) { return q.transport, q.transport != "" }, "transport"
	case *netinv3.ApplicationProtocolInput:
		return func(q *query) (string, bool) {
			if len(q.alpn) == 0 {
				return "", false
			}
			return "'" + strings.Join(q.alpn, "','") + "'", true
		}, "alpn"
	case *sslinv3.UriSanInput, *sslinv3.DnsSanInput, *sslinv3.SubjectInput:
		return func(*query) (string, bool) { return "", false }, "ssl"
	}
	return nil, ""
}

// source is the source address; asking for one that is not known makes the answer unsure.
func (q *query) source() (string, bool) {
	if !q.src.IsValid() {
		q.unsure = "the matcher asks for the source address"
		return "", false
	}
	return q.src.String(), true
}
