package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
)

// frame is a gRPC message that is not decoded: its bytes are handed on by
// reference.
type frame struct{ data mem.BufferSlice }

func (f *frame) free() { f.data.Free(); f.data = nil }

// byReference is the codec of both ends and of the relay by reference.
type byReference struct{}

func (byReference) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("marshalling %T by reference", v)
	}
	out := f.data
	f.data = nil // freed by who writes it
	return out, nil
}

func (byReference) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("unmarshalling %T by reference", v)
	}
	data.Ref()
	f.data = append(mem.BufferSlice(nil), data...)
	return nil
}

func (byReference) Name() string { return "proto" }

func plain(b []byte) *frame { return &frame{mem.BufferSlice{mem.SliceBuffer(b)}} }

// window is what Istio sets on both sides (pilot/pkg/bootstrap, pkg/istio-agent).
const window = 1 << 20

// serverOptions are those of an istiod: no limit that a large push could meet.
func serverOptions(creds credentials.TransportCredentials) []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ForceServerCodecV2(byReference{}), grpc.Creds(creds),
		grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32), grpc.MaxConcurrentStreams(100_000),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true})}
}

// clientOptions are those of a client; wide gives it windows that never fill.
func clientOptions(creds credentials.TransportCredentials, wide bool) []grpc.DialOption {
	size := int32(window)
	if wide {
		size = 256 << 20
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(byReference{}), grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		grpc.WithInitialWindowSize(size), grpc.WithInitialConnWindowSize(size)}
}

// The nonce is the time of sending, 16 digits, at the very end of a response.
const nonceLen = 16

// stamped is a payload with the time in its nonce, by reference to the payload.
func (p *payload) stamped(t int64) *frame {
	return &frame{mem.BufferSlice{mem.SliceBuffer(p.buf), mem.SliceBuffer(appendString(nil, respNonce, fmt.Sprintf("%016x", t)))}}
}

// sentAt reads the nonce.
func (f *frame) sentAt() (string, int64, error) {
	var tail []byte
	for i := len(f.data) - 1; i >= 0 && len(tail) < nonceLen; i-- {
		tail = append(append([]byte(nil), f.data[i].ReadOnlyData()...), tail...)
	}
	if len(tail) < nonceLen {
		return "", 0, fmt.Errorf("a message of %d bytes has no nonce", len(tail))
	}
	nonce := string(tail[len(tail)-nonceLen:])
	t, err := strconv.ParseInt(nonce, 16, 64)
	return nonce, t, err
}

// anything is a stream of any method.
var anything = grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

const adsMethod = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
