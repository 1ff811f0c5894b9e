package intercept

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// controlPlane answers each request with one response and ends as asked.
type controlPlane struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	got  chan metadata.MD
	done chan error
}

func (c *controlPlane) StreamAggregatedResources(s discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	c.got <- md
	_ = s.SendHeader(metadata.Pairs("x-header", "h"))
	s.SetTrailer(metadata.Pairs("x-trailer", "t"))
	for {
		req, err := s.Recv()
		if err != nil {
			c.done <- err
			if errors.Is(err, io.EOF) {
				st, _ := status.New(codes.FailedPrecondition, "half-closed, 100% sure").WithDetails(&errdetails.ErrorInfo{Reason: "why"})
				return st.Err()
			}
			return err
		}
		res := &discovery.DiscoveryResponse{TypeUrl: req.TypeUrl, VersionInfo: "1", Nonce: "n",
			Resources: []*anypb.Any{{TypeUrl: req.TypeUrl, Value: bytes.Repeat([]byte("v"), 100_000)}}}
		if err := s.Send(res); err != nil {
			return err
		}
	}
}

// throughRelay is a gRPC client and server with a relay between them.
func throughRelay(t *testing.T, tap Tap) (*controlPlane, *grpc.Server, discovery.AggregatedDiscoveryServiceClient) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cp := &controlPlane{got: make(chan metadata.MD, 1), done: make(chan error, 1)}
	srv := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, cp)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	r := startRelay(t, Config{Upstream: l.Addr().String(), Observer: newTestObserver(t, tap)})
	cc, err := grpc.NewClient("passthrough:///"+r.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cc.Close()
		srv.Stop()
		<-served
	})
	return cp, srv, discovery.NewAggregatedDiscoveryServiceClient(cc)
}

// TestGRPC: metadata, compressed messages, header, trailer, half-close and status
// with its details are what they are without a relay.
func TestGRPC(t *testing.T) {
	tap := &memory{}
	cp, _, client := throughRelay(t, tap)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "clusterid", "Kubernetes", "authorization", "Bearer secret")
	s, err := client.StreamAggregatedResources(ctx, grpc.UseCompressor(gzip.Name))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Send(&discovery.DiscoveryRequest{TypeUrl: xds.ClusterType, ResourceNames: []string{strings.Repeat("name", 500)}}); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Recv(); err != nil || len(r.Resources) != 1 || len(r.Resources[0].Value) != 100_000 {
			t.Fatalf("%v, %v", r.GetNonce(), err)
		}
	}
	if md := <-cp.got; md.Get("authorization")[0] != "Bearer secret" || md.Get("clusterid")[0] != "Kubernetes" {
		t.Errorf("server saw %v", md)
	}
	_ = s.CloseSend()
	_, err = s.Recv()
	st := status.Convert(err)
	if st.Code() != codes.FailedPrecondition || len(st.Details()) != 1 || s.Trailer().Get("x-trailer")[0] != "t" {
		t.Errorf("%v, %v, %v", err, st.Details(), s.Trailer())
	}
	if h, _ := s.Header(); h.Get("x-header")[0] != "h" {
		t.Errorf("header %v", h)
	}
	eventually(t, func() bool { return slices.Contains(tap.kinds(), xds.SawClose) })
	checkSightings(t, tap)
}

func checkSightings(t *testing.T, tap *memory) {
	t.Helper()
	all := tap.sightings()
	if n := len(ofKind(all, xds.SawRequest)); n != 3 {
		t.Errorf("%d requests", n)
	}
	rs := ofKind(all, xds.SawResponse)
	if len(rs) != 3 || rs[0].Msg.Chunks[0].State != xds.ChunkRaw || rs[2].Msg.Chunks[0].State != xds.ChunkKnown {
		t.Errorf("%d responses", len(rs))
	}
	c := ofKind(all, xds.SawClose)[0].Close
	if c.By != "server" || c.Code != "FailedPrecondition" || c.Message != "half-closed, 100% sure" {
		t.Errorf("close %+v", c)
	}
	if len(ofKind(all, xds.SawOpen)[0].Open.Metadata["authorization"]) != 0 {
		t.Error("the token was kept")
	}
}

// TestGRPCCancel: a client that gives up resets its stream, and the server sees it.
func TestGRPCCancel(t *testing.T) {
	tap := &memory{}
	cp, _, client := throughRelay(t, tap)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := client.StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Send(&discovery.DiscoveryRequest{TypeUrl: xds.ClusterType})
	_, _ = s.Recv()
	cancel()
	if err := <-cp.done; status.Code(err) != codes.Canceled {
		t.Errorf("server saw %v", err)
	}
	eventually(t, func() bool { return slices.Contains(tap.kinds(), xds.SawClose) })
	if c := ofKind(tap.sightings(), xds.SawClose)[0].Close; c.By != "client" || c.Code != "Canceled" {
		t.Errorf("close %+v", c)
	}
}

// TestGRPCServerGone: a server that stops is seen as Unavailable on both sides.
func TestGRPCServerGone(t *testing.T) {
	tap := &memory{}
	_, srv, client := throughRelay(t, tap)
	s, err := client.StreamAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Send(&discovery.DiscoveryRequest{TypeUrl: xds.ClusterType})
	_, _ = s.Recv()
	srv.Stop()
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("client saw %v", err)
	}
	eventually(t, func() bool { return slices.Contains(tap.kinds(), xds.SawClose) })
	if c := ofKind(tap.sightings(), xds.SawClose)[0].Close; c.By != "server" || c.Code != "Unavailable" {
		t.Errorf("close %+v", c)
	}
}

// TestFramesPass: PING, GOAWAY, padded DATA, CONTINUATION, unknown frames and one
// of 16 MiB arrive as they were sent.
func TestFramesPass(t *testing.T) {
	client, server := pair(t, "tcp", Config{Observer: newTestObserver(t, &memory{})})
	var sent bytes.Buffer
	f := http2.NewFramer(&sent, nil)
	f.AllowIllegalWrites = true
	var block bytes.Buffer
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":path", Value: adsSotW})
	sent.WriteString(clientPreface)
	_ = errors.Join(f.WriteSettings(), f.WritePing(false, [8]byte{1, 2, 3}),
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes()[:3]}), f.WriteContinuation(1, true, block.Bytes()[3:]),
		f.WriteDataPadded(1, false, []byte{0, 0, 0, 0, 2}, make([]byte, 40)), f.WriteRawFrame(0xee, 0xff, 77, []byte("x")),
		f.WriteRawFrame(http2.FrameData, 0, 1, bytes.Repeat([]byte("x"), 1<<24-1)), f.WriteGoAway(1, http2.ErrCodeNo, []byte("bye")))
	want := bytes.Clone(sent.Bytes())
	go func() {
		_, _ = client.Write(want)
		_ = client.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(server)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("received %d bytes, %v; want %d", len(got), err, len(want))
	}
}
