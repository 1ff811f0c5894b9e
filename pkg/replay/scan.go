package replay

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Refs are what the resources of a range refer to by name outside themselves.
type Refs struct {
	Control map[string]bool // clusters by which configuration is asked for
	Other   map[string]bool // clusters by which other gRPC services are: logs, authorization, ...
}

// Refs looks through the range. What it says of secrets goes to b.
func (p *Plan) Refs(b *Bodies) Refs {
	r := Refs{Control: map[string]bool{}, Other: map[string]bool{}}
	p.each(func(d xds.Digest) {
		if m := b.recorded(d); m != nil {
			walk(m.ProtoReflect(), func(x protoreflect.Message) { r.note(x, b.secrets) })
		}
	})
	for n := range r.Control {
		delete(r.Other, n)
	}
	return r
}

func (r *Refs) note(m protoreflect.Message, s *secrets) {
	switch x := m.Interface().(type) {
	case *corev3.ApiConfigSource:
		for _, g := range x.GetGrpcServices() {
			r.Control[g.GetEnvoyGrpc().GetClusterName()] = true
		}
		for _, n := range x.GetClusterNames() {
			r.Control[n] = true
		}
		delete(r.Control, "")
	case *corev3.GrpcService_EnvoyGrpc:
		r.Other[x.GetClusterName()] = true
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil || fd.IsMap() || fd.Message().FullName() != "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig" {
			return true
		}
		if !fd.IsList() {
			s.use(string(fd.Name()), v.Message())
			return true
		}
		for i := range v.List().Len() {
			s.use(string(fd.Name()), v.List().Get(i).Message())
		}
		return true
	})
}

// uses tells by the field that refers to a secret what it is for
// (envoy/extensions/transport_sockets/tls/v3/tls.proto); all others take tokens.
var uses = map[string]secretKind{
	"tls_certificate_sds_secret_configs":           certificate,
	"validation_context_sds_secret_config":         authority,
	"session_ticket_keys_sds_secret_config":        ticketKeys,
	"tls_certificate_certificate_provider_configs": certificate,
}

// use notes one reference to a secret.
func (s *secrets) use(field string, ref protoreflect.Message) {
	kind, ok := uses[field]
	if !ok {
		kind = generic
	}
	s.refer(ref.Get(ref.Descriptor().Fields().ByName("name")).String(), kind)
}
