package timeline

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
)

// node is what the sidecar told about itself, nil when it is not known. It is one
// pointer until it changes, by which compiled views are shared.
func (s *side) node() *corev3.Node {
	d := s.view().Node
	if d == s.nodeDigest {
		return s.nodeMessage
	}
	s.nodeDigest, s.nodeMessage = d, nil
	if d.IsZero() || s.w.cfg.Bodies == nil {
		return nil
	}
	if b, ok := s.w.cfg.Bodies(d); ok {
		n := new(corev3.Node)
		if proto.Unmarshal(b, n) == nil {
			s.nodeMessage = n
		}
	}
	return s.nodeMessage
}
