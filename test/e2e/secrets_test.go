package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// planted marks every secret of the session below; each has a number behind it.
const planted = "planted-secret-value-"

// secretive is a session that holds a secret in every place where one travels.
func secretive(t *testing.T) []line {
	t.Helper()
	pack := func(m proto.Message) *anypb.Any {
		a, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	wire := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	meta, err := structpb.NewStruct(map[string]any{"CLUSTER_ID": "Kubernetes", "API_TOKEN": planted + "1"})
	if err != nil {
		t.Fatal(err)
	}
	const ads, typ = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", "type.googleapis.com/"
	secret := &tlsv3.Secret{Name: "kubernetes://gateway", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		PrivateKey: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: planted + "2"}}}}}
	routes := &routev3.RouteConfiguration{Name: "r", RequestHeadersToAdd: []*corev3.HeaderValueOption{
		{Header: &corev3.HeaderValue{Key: "Authorization", Value: "Bearer " + planted + "3"}},
		{Header: &corev3.HeaderValue{Key: "x-shop-token", Value: planted + "4"}}}}
	manager := &hcmv3.HttpConnectionManager{RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}}
	listener := &listenerv3.Listener{Name: "l", FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{Name: "hcm",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(manager)}}}}}}
	node := &corev3.Node{Id: "sidecar~10.0.0.9~app-1.shop~shop.svc.cluster.local", Cluster: "app.shop", Metadata: meta}
	sds, lds := typ+"envoy.extensions.transport_sockets.tls.v3.Secret", typ+"envoy.config.listener.v3.Listener"
	return []line{
		{Stream: 1, Event: "open", Method: ads, Metadata: map[string][]string{"authorization": {"Bearer " + planted + "5"}, "x_team": {planted + "6"}}},
		{Stream: 1, Event: "request", Raw: wire(&discoveryv3.DiscoveryRequest{Node: node, TypeUrl: sds, ResourceNames: []string{"kubernetes://gateway"}})},
		{Stream: 1, Event: "response", Raw: wire(&discoveryv3.DiscoveryResponse{TypeUrl: sds, VersionInfo: "1", Nonce: "a", Resources: []*anypb.Any{pack(secret)}})},
		{Stream: 1, Event: "request", Raw: wire(&discoveryv3.DiscoveryRequest{TypeUrl: lds})},
		{Stream: 1, Event: "response", Raw: wire(&discoveryv3.DiscoveryResponse{TypeUrl: lds, VersionInfo: "1", Nonce: "b", Resources: []*anypb.Any{pack(listener)}})},
		{Stream: 1, Event: "request", Raw: wire(&discoveryv3.DiscoveryRequest{TypeUrl: lds, ResponseNonce: "b",
			ErrorDetail: &status.Status{Code: 13, Message: "bad listener l: header authorization: Bearer " + planted + "7"}})},
		{Stream: 1, Event: "close", By: "server", Code: "Unauthenticated", Message: "token=" + planted + "8 expired"},
	}
}

// TestSecretsNeverReachTheDisk sends secrets through the proxy and looks for them
// in all that it leaves behind, inside compressed frames too.
func TestSecretsNeverReachTheDisk(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	pl := newPlayer(t)
	p := startProxy(t, store, pl.addr)
	pl.play("unix://"+p.socket, secretive(t))
	p.stop(t)
	export := xdsproxy(t, "export", "--store", store)
	for l := range strings.Lines(export) {
		var v line
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatal(err)
		}
		export += string(v.Raw)
	}
	if !strings.Contains(export, "kubernetes://gateway") {
		t.Fatalf("the session was not recorded:\n%s", export)
	}
	if !bytes.Contains(unpacked(t, store), []byte("kubernetes://gateway")) {
		t.Fatal("this test cannot look into the store")
	}
	show := xdsproxy(t, "show", "1", "--store", store, "-o", "yaml") + xdsproxy(t, "show", "2", "--store", store, "-o", "json")
	for where, text := range map[string]string{"the export": export, "the log": p.log.String(), "the store": string(unpacked(t, store)),
		"the events": xdsproxy(t, "events", "--store", store, "-o", "jsonl"), "what show prints": show} {
		if i := strings.Index(text, planted); i >= 0 {
			t.Errorf("%s holds secret %q", where, text[i:i+len(planted)+1])
		}
	}
	if !strings.Contains(show, "xdsproxy-redacted:") {
		t.Error("nothing stands in the place of a secret")
	}
}

// unpacked is every file of a store, and every zstd frame in it opened.
func unpacked(t *testing.T, dir string) []byte {
	t.Helper()
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var all []byte
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		for _, frame := range bytes.Split(b, []byte{0x28, 0xb5, 0x2f, 0xfd})[1:] {
			open, _ := dec.DecodeAll(append([]byte{0x28, 0xb5, 0x2f, 0xfd}, frame...), nil) // what follows the frame is an error, what was in it is there
			all = append(all, open...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
