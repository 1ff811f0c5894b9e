package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// grpcRelay ends gRPC on both sides, one upstream connection for each stream, as
// Istio's agent does: by reference, or with each message decoded and encoded again.
func grpcRelay(ctx context.Context, c relayConfig, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	pass := func(bool, *frame) error { return nil }
	if c.Mode == "grpc-decode" {
		pass = reencode
	}
	g := grpc.NewServer(append(serverOptions(insecure.NewCredentials()), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		return relayStream(s, c.Upstream, pass)
	}))...)
	context.AfterFunc(ctx, g.Stop)
	if err := json.NewEncoder(out).Encode(started{Addr: l.Addr().String()}); err != nil {
		return err
	}
	return g.Serve(l)
}

func relayStream(down grpc.ServerStream, upstream string, pass func(bool, *frame) error) error {
	conn, err := grpc.NewClient("passthrough:///"+upstream, clientOptions(insecure.NewCredentials(), false)...)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	md, _ := metadata.FromIncomingContext(ctx)
	method, _ := grpc.MethodFromServerStream(down)
	up, err := conn.NewStream(metadata.NewOutgoingContext(ctx, md.Copy()), &anything, method)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- pumpMessages(up, down, func(f *frame) error { return pass(true, f) })
		_ = up.CloseSend()
	}()
	err = pumpMessages(down, up, func(f *frame) error { return pass(false, f) })
	cancel()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

type messages interface {
	RecvMsg(any) error
	SendMsg(any) error
}

func pumpMessages(to, from messages, pass func(*frame) error) error {
	for {
		var f frame
		if err := from.RecvMsg(&f); err != nil {
			return err
		}
		if err := pass(&f); err != nil {
			return err
		}
		if err := to.SendMsg(&f); err != nil {
			return err
		}
	}
}

// reencode decodes a message and encodes it again; what is inside Any stays bytes.
func reencode(request bool, f *frame) error {
	var m proto.Message = new(discoveryv3.DiscoveryResponse)
	if request {
		m = new(discoveryv3.DiscoveryRequest)
	}
	err := proto.Unmarshal(f.data.Materialize(), m)
	f.free()
	if err != nil {
		return fmt.Errorf("decoding a message: %w", err)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	f.data = plain(b).data
	return nil
}
