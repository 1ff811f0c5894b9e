package record_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	udpa "github.com/cncf/xds/go/udpa/type/v1"
	xdstype "github.com/cncf/xds/go/xds/type/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	basicauthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/basic_auth/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	httpwasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	redisv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/redis_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/record/internal/redacttable"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const planted = "PLANTED-5eCr3t"

func inline(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}

func inlineBytes(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte(s)}}
}

func pack(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func structure(t testing.TB, m map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func filter(t testing.TB, m proto.Message) proto.Message {
	h := &hcmv3.HttpConnectionManager{StatPrefix: "visible", HttpFilters: []*hcmv3.HttpFilter{
		{Name: "f", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(t, m)}}}}
	return listener(t, h)
}

func listener(t testing.TB, m proto.Message) proto.Message {
	return &listenerv3.Listener{Name: "visible", FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{
		{Name: "f", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(t, m)}}}}}}
}

func socket(t testing.TB, m proto.Message) proto.Message {
	return &clusterv3.Cluster{Name: "visible", TransportSocket: &corev3.TransportSocket{Name: "tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(t, m)}}}
}

func headers(key string) proto.Message {
	return &routev3.RouteConfiguration{Name: "visible", RequestHeadersToAdd: []*corev3.HeaderValueOption{
		{Header: &corev3.HeaderValue{Key: key, Value: planted}}, {Header: &corev3.HeaderValue{Key: key, RawValue: []byte(planted)}}}}
}

func grpc(g *corev3.GrpcService) proto.Message {
	return &extauthzv3.ExtAuthz{Services: &extauthzv3.ExtAuthz_GrpcService{GrpcService: g}}
}

func callCredentials(c *corev3.GrpcService_GoogleGrpc_CallCredentials) proto.Message {
	return grpc(&corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_GoogleGrpc_{GoogleGrpc: &corev3.GrpcService_GoogleGrpc{
		TargetUri: "visible", CallCredentials: []*corev3.GrpcService_GoogleGrpc_CallCredentials{c}}}})
}

// resources holds a secret of each kind, as it could come in a push.
func resources(t testing.TB) map[string]*anypb.Any {
	v2 := func(typ string, m proto.Message) *anypb.Any {
		a := pack(t, m)
		a.TypeUrl = xds.TypePrefix + typ
		return a
	}
	cert := &tlsv3.TlsCertificate{CertificateChain: inline(planted), PrivateKey: inlineBytes(planted), Password: inline(planted)}
	up := &tlsv3.UpstreamTlsContext{Sni: "visible", CommonTlsContext: &tlsv3.CommonTlsContext{TlsCertificates: []*tlsv3.TlsCertificate{cert},
		ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(planted)}}}}
	oldSocket := pack(t, socket(t, up))
	oldSocket.Value = bytes.ReplaceAll(oldSocket.Value, []byte(""), nil)
	listMember := structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("visible"),
		structpb.NewStructValue(structure(t, map[string]any{"client_secret": planted}))}})
	v2Cluster := &clusterv3.Cluster{Name: "visible"} // v2: tls_context, field 11
	upBytes, err := proto.Marshal(up)
	if err != nil {
		t.Fatal(err)
	}
	v2Cluster.ProtoReflect().SetUnknown(str(nil, 11, string(upBytes)))
	v2Filter := &listenerv3.Listener{Name: "visible", FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{Name: "f"}}}}}
	config, err := proto.Marshal(structure(t, map[string]any{"password": planted}))
	if err != nil {
		t.Fatal(err)
	}
	v2Filter.FilterChains[0].Filters[0].ProtoReflect().SetUnknown(str(nil, 2, string(config)))
	return map[string]*anypb.Any{
		"secret: tls certificate": pack(t, &tlsv3.Secret{Name: "visible", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: cert}}),
		"secret: generic": pack(t, &tlsv3.Secret{Name: "visible", Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
			Secret: inline(planted), Secrets: map[string]*corev3.DataSource{"k": inline(planted)}}}}),
		"secret: session ticket keys": pack(t, &tlsv3.Secret{Name: "visible", Type: &tlsv3.Secret_SessionTicketKeys{
			SessionTicketKeys: &tlsv3.TlsSessionTicketKeys{Keys: []*corev3.DataSource{inlineBytes(planted)}}}}),
		"secret: private key provider": pack(t, &tlsv3.Secret{Name: "visible", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			PrivateKeyProvider: &tlsv3.PrivateKeyProvider{ProviderName: "visible", ConfigType: &tlsv3.PrivateKeyProvider_TypedConfig{
				TypedConfig: pack(t, structure(t, map[string]any{"x": planted}))}}}}}),
		"secret: v2":                  v2("envoy.api.v2.auth.Secret", &tlsv3.Secret{Name: "visible", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: cert}}),
		"upstream TLS":                pack(t, socket(t, up)),
		"upstream TLS, v2 in place":   v2("envoy.api.v2.Cluster", v2Cluster),
		"filter config as Struct, v2": v2("envoy.api.v2.Listener", v2Filter),
		"downstream TLS": pack(t, &listenerv3.Listener{Name: "visible", FilterChains: []*listenerv3.FilterChain{{TransportSocket: &corev3.TransportSocket{Name: "tls",
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(t, &tlsv3.DownstreamTlsContext{CommonTlsContext: up.CommonTlsContext})}}}}}),
		"header authorization":  pack(t, headers("Authorization")),
		"header cookie":         pack(t, headers("cookie")),
		"header x-api-key":      pack(t, headers("X-Api-Key")),
		"header *token*":        pack(t, headers("x-auth-Token-2")),
		"header *secret*":       pack(t, headers("my-secret")),
		"grpc initial metadata": pack(t, filter(t, grpc(&corev3.GrpcService{InitialMetadata: []*corev3.HeaderValue{{Key: "visible", Value: planted}}}))),
		"grpc access token": pack(t, filter(t, callCredentials(&corev3.GrpcService_GoogleGrpc_CallCredentials{
			CredentialSpecifier: &corev3.GrpcService_GoogleGrpc_CallCredentials_AccessToken{AccessToken: planted}}))),
		"grpc JWT key": pack(t, filter(t, callCredentials(&corev3.GrpcService_GoogleGrpc_CallCredentials{
			CredentialSpecifier: &corev3.GrpcService_GoogleGrpc_CallCredentials_ServiceAccountJwtAccess{
				ServiceAccountJwtAccess: &corev3.GrpcService_GoogleGrpc_CallCredentials_ServiceAccountJWTAccessCredentials{JsonKey: planted}}}))),
		"grpc plugin": pack(t, filter(t, callCredentials(&corev3.GrpcService_GoogleGrpc_CallCredentials{
			CredentialSpecifier: &corev3.GrpcService_GoogleGrpc_CallCredentials_FromPlugin{
				FromPlugin: &corev3.GrpcService_GoogleGrpc_CallCredentials_MetadataCredentialsFromPlugin{Name: "visible",
					ConfigType: &corev3.GrpcService_GoogleGrpc_CallCredentials_MetadataCredentialsFromPlugin_TypedConfig{
						TypedConfig: pack(t, structure(t, map[string]any{"x": planted}))}}}}))),
		"wasm environment": pack(t, filter(t, &httpwasmv3.Wasm{Config: &wasmv3.PluginConfig{Name: "visible", Vm: &wasmv3.PluginConfig_VmConfig{
			VmConfig: &wasmv3.VmConfig{EnvironmentVariables: &wasmv3.EnvironmentVariables{HostEnvKeys: []string{"visible"},
				KeyValues: map[string]string{"ISTIO_META_WASM_IMAGE_PULL_SECRET": planted}}}}}})),
		"wasm configuration": pack(t, filter(t, &httpwasmv3.Wasm{Config: &wasmv3.PluginConfig{Name: "visible",
			Configuration: pack(t, structure(t, map[string]any{"nested": map[string]any{"apiToken": planted}}))}})),
		"basic auth":      pack(t, filter(t, &basicauthv3.BasicAuth{Users: inline(planted)})),
		"local JWKS":      pack(t, filter(t, &jwtv3.JwtAuthentication{Providers: map[string]*jwtv3.JwtProvider{"visible": {JwksSourceSpecifier: &jwtv3.JwtProvider_LocalJwks{LocalJwks: inline(planted)}}}})),
		"redis passwords": pack(t, listener(t, &redisv3.RedisProxy{StatPrefix: "visible", DownstreamAuthPasswords: []*corev3.DataSource{inline(planted)}})),
		"redis upstream": pack(t, &clusterv3.Cluster{Name: "visible", TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"redis": pack(t, &redisv3.RedisProtocolOptions{AuthPassword: inline(planted)})}}),
		"TypedStruct": pack(t, filter(t, &xdstype.TypedStruct{TypeUrl: "visible", Value: structure(t, map[string]any{"a": map[string]any{"password": planted}})})),
		"TypedStruct, a TLS type": pack(t, socket(t, &udpa.TypedStruct{TypeUrl: xds.TypePrefix + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
			Value: structure(t, map[string]any{"visible": 1, "commonTlsContext": map[string]any{"tlsCertificates": []any{map[string]any{"certificateChain": map[string]any{"inlineString": planted}}}}})})),
		"TypedStruct, a secret type": pack(t, filter(t, &udpa.TypedStruct{TypeUrl: xds.TypePrefix + "envoy.extensions.filters.http.basic_auth.v3.BasicAuth",
			Value: structure(t, map[string]any{"visible": 1, "users": map[string]any{"inline_string": planted}})})),
		"Struct: pair":   pack(t, filter(t, structure(t, map[string]any{"visible": []any{map[string]any{"key": "authorization", "value": planted}}}))),
		"Struct: list":   pack(t, filter(t, &structpb.Struct{Fields: map[string]*structpb.Value{"visible": listMember}})),
		"Struct: PEM":    pack(t, filter(t, structure(t, map[string]any{"visible": "-----BEGIN RSA PRIVATE KEY-----\n" + planted + "\n-----END RSA PRIVATE KEY-----"}))),
		"Struct: bearer": pack(t, &clusterv3.Cluster{Name: "visible", Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"m": structure(t, map[string]any{"note": "Bearer " + planted})}}}),
	}
}

// respond wraps resources as a Delta response in wire form.
func respond(t testing.TB, rs ...*anypb.Any) []byte {
	t.Helper()
	d := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: xds.ListenerType, Nonce: "n"}
	for i, r := range rs {
		d.Resources = append(d.Resources, &discoveryv3.Resource{Name: fmt.Sprint("r", i), Resource: r})
	}
	b, err := proto.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dump is all that a Log was given, as one text.
func (p *play) dump() string {
	var b strings.Builder
	seen := map[xds.Digest]bool{}
	body := func(d xds.Digest) {
		if x, ok, _ := p.log.Body(d); ok && !seen[d] {
			seen[d] = true
			b.Write(x)
		}
	}
	for _, r := range p.records() {
		fmt.Fprintf(&b, "%+v %+v %+v %+v %+v %+v %+v\n", r, r.Open, r.Request, r.Answer, r.Push, r.Close, r.Gap)
		switch {
		case r.Request != nil:
			fmt.Fprintf(&b, "%+v %s\n", r.Request.Error, r.Request.Rest)
			body(r.Request.Node)
		case r.Answer != nil:
			fmt.Fprintf(&b, "%+v %s %s\n", r.Answer.Error, r.Answer.Error.Rest, r.Answer.Rest)
			body(r.Answer.Node)
		case r.Push != nil:
			fmt.Fprintf(&b, "%s\n", r.Push.Rest)
			for _, e := range r.Push.Resources {
				fmt.Fprintf(&b, "%s\n", e.Rest)
				body(e.Digest)
			}
		}
	}
	return b.String()
}

func (p *play) response(raw []byte) {
	p.t.Helper()
	m, err := record.Split(raw)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.rec.Sight(xds.Sighting{Kind: xds.SawResponse, Stream: 1, Msg: m}); err != nil {
		p.t.Fatal(err)
	}
}

func TestPlantedSecrets(t *testing.T) {
	for name, r := range resources(t) {
		t.Run(name, func(t *testing.T) {
			if !bytes.Contains(r.Value, []byte(planted)) {
				t.Fatal("nothing was planted")
			}
			p := newPlay(t, record.Config{})
			p.run("1 open delta\n1 req LDS node=web")
			p.response(respond(t, r))
			got := p.dump()
			if strings.Contains(got, planted) {
				t.Errorf("the secret is in the history: %q", got)
			}
			if !strings.Contains(got, record.Marker) || strings.Count(got, "visible") < strings.Count(string(r.Value), "visible") {
				t.Errorf("no mark in the place of the secret, or more was taken: %q", got)
			}
			p.decodes()
		})
	}
}

// decodes checks that what was redacted is still the message it was.
func (p *play) decodes() {
	p.t.Helper()
	for _, r := range p.records() {
		if r.Push == nil {
			continue
		}
		for _, e := range r.Push.Resources {
			b, _, _ := p.log.Body(e.Digest)
			var a anypb.Any
			if err := proto.Unmarshal(b, &a); err != nil {
				p.t.Errorf("the body of %s is no Any any more: %v", e.Name, err)
			}
			if strings.Contains(a.TypeUrl, "v3.") {
				if _, err := a.UnmarshalNew(); err != nil {
					p.t.Errorf("the body of %s does not decode: %v", e.Name, err)
				}
			}
		}
	}
}

func TestPlantedInEnvelopes(t *testing.T) {
	p := newPlay(t, record.Config{})
	meta := structure(t, map[string]any{"CLUSTER_ID": "k1", "PROXY_CONFIG": map[string]any{"auth_token": planted}, "note": "password=" + planted,
		"key": "-----BEGIN PRIVATE KEY-----\n" + planted + "\n-----END PRIVATE KEY-----\n"})
	nack := &status.Status{Code: 3, Message: "listener web: visible: authorization: Bearer " + planted + "\ncookie: a=b; c=" + planted,
		Details: []*anypb.Any{pack(t, headers("authorization"))}}
	req, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ListenerType, Node: &corev3.Node{Id: "web", Metadata: meta}, ErrorDetail: nack, ResponseNonce: "n"})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := proto.Marshal(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: xds.ListenerType, Nonce: "n",
		ResourceErrors: []*discoveryv3.ResourceError{{ErrorDetail: &status.Status{Message: "token=" + planted}}},
		Resources: []*discoveryv3.Resource{{Name: "a", Resource: pack(t, &listenerv3.Listener{Name: "a"}),
			Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"m": structure(t, map[string]any{"secret": planted})}}}}})
	if err != nil {
		t.Fatal(err)
	}
	md := map[string][]string{"authorization": {"Bearer " + planted}, "x_team": {planted}, "clusterid": {"k1"}, "user-agent": {"visible"}, "grpc-status-details-bin": {planted}}
	for _, s := range []xds.Sighting{
		{Kind: xds.SawOpen, Stream: 1, Open: &xds.Open{Method: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", Metadata: md}},
		{Kind: xds.SawRequest, Stream: 1, Msg: &xds.Message{Envelope: req}},
	} {
		if err := p.rec.Sight(s); err != nil {
			t.Fatal(err)
		}
	}
	p.response(resp)
	if err := p.rec.Sight(xds.Sighting{Kind: xds.SawClose, Stream: 1, Close: &xds.Close{Message: `dial https://u:` + planted + `@h: {"access_token":"` + planted + `"}`, Trailer: md}}); err != nil {
		t.Fatal(err)
	}
	got := p.dump()
	if i := strings.Index(got, planted); i >= 0 {
		t.Errorf("the secret is in the history: %q", got[max(0, i-100):i+20])
	}
	for _, want := range []string{"authorization:[]", "x_team:[]", "clusterid:[k1]", "user-agent:[visible]", "listener web: visible: ", "auth_token", "Mesh:k1"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in the history: %s", want, got)
		}
	}
}

// Bytes that hold no secret come back as they are; redacting twice changes
// nothing; the same secret gives the same mark and another one another.
func TestRedactionIsStable(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	digests := func(rs ...*anypb.Any) []xds.Digest {
		p := newPlay(t, record.Config{Key: key})
		p.run("1 open delta\n1 req LDS node=web")
		p.response(respond(t, rs...))
		var out []xds.Digest
		for _, e := range p.records()[2].Push.Resources {
			b, _, _ := p.log.Body(e.Digest)
			var a anypb.Any
			if err := proto.Unmarshal(b, &a); err != nil {
				t.Fatal(err)
			}
			again := newPlay(t, record.Config{})
			again.run("1 open delta\n1 req LDS node=web")
			again.response(respond(t, &a))
			if d := again.records()[2].Push.Resources[0].Digest; d != e.Digest {
				t.Errorf("redacting twice changes %s", a.TypeUrl)
			}
			out = append(out, e.Digest)
		}
		return out
	}
	for _, r := range resources(t) {
		other := proto.Clone(r).(*anypb.Any)
		other.Value = bytes.ReplaceAll(other.Value, []byte(planted), []byte("PLANTED-0ther!"))
		ds := digests(r, r, other)
		if ds[0] != ds[1] || ds[0] == ds[2] {
			t.Errorf("%s: equal secrets give other marks, or others equal ones", r.TypeUrl)
		}
	}
}

func TestOpaque(t *testing.T) {
	for _, o := range []record.Opaque{record.OpaqueBytes, record.OpaqueDigest} {
		p := newPlay(t, record.Config{Opaque: o})
		p.run("1 open\n1 req LDS node=web")
		unknown := &anypb.Any{TypeUrl: xds.TypePrefix + "com.example.Unknown", Value: []byte("opaque bytes")}
		p.response(respond(t, pack(t, filter(t, &listenerv3.Listener{Name: "known"}))))
		raw, err := proto.Marshal(&discoveryv3.DiscoveryResponse{TypeUrl: xds.ListenerType, Resources: []*anypb.Any{unknown,
			pack(t, &clusterv3.Cluster{TypedExtensionProtocolOptions: map[string]*anypb.Any{"x": unknown}})}})
		if err != nil {
			t.Fatal(err)
		}
		p.response(raw)
		if got := strings.Count(p.dump(), "opaque bytes"); got != map[record.Opaque]int{record.OpaqueBytes: 2, record.OpaqueDigest: 0}[o] {
			t.Errorf("%s: the bytes stand %d times in the history", o, got)
		}
	}
}

func TestTableIsUpToDate(t *testing.T) {
	want, err := redacttable.Generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("redact_table.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("redact_table.go is old: run go generate ./pkg/record")
	}
}
