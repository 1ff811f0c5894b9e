package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Field numbers of DiscoveryRequest and DiscoveryResponse
// (envoy/service/discovery/v3/discovery.proto).
const (
	respVersion, respResources, respType, respNonce = 1, 2, 4, 5
	reqVersion, reqNode, reqType, reqNonce          = 1, 2, 4, 5
)

// recording is what istiod wrote in a recorded session: the resources of each type,
// as the contents of google.protobuf.Any, and the node of the client.
type recording struct {
	node      []byte
	resources map[string][][]byte
}

// openRecording reads the first response of each type.
func openRecording(dir string) (*recording, error) {
	r := &recording{resources: map[string][][]byte{}}
	err := eachLine(filepath.Join(dir, "session.jsonl.gz"), func(event string, raw []byte) {
		switch {
		case event == "request" && r.node == nil:
			// Field 1 of a Delta request, field 2 of a state-of-the-world one.
			if r.node = bytesField(raw, reqNode); len(r.node) < 100 {
				r.node = bytesField(raw, 1)
			}
		case event == "response":
			typ := string(bytesField(raw, respType))
			if r.resources[typ] == nil {
				r.resources[typ] = resourcesOf(raw)
			}
		}
	})
	if err == nil && r.node == nil {
		err = errors.New("no request with a node")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the recording %s: %w", dir, err)
	}
	return r, nil
}

func eachLine(path string, do func(event string, raw []byte)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for d := json.NewDecoder(bufio.NewReader(z)); ; {
		var l struct {
			Event string
			Raw   []byte
		}
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		do(l.Event, l.Raw)
	}
}

// resourcesOf takes the Any out of each entry of a response: that of a Delta
// response has it in field 2 of a Resource.
func resourcesOf(msg []byte) (out [][]byte) {
	for b := range fieldsOf(msg, respResources) {
		if !bytes.HasPrefix(bytesField(b, 1), []byte(xds.TypePrefix)) {
			b = bytesField(b, 2)
		}
		out = append(out, slices.Clone(b))
	}
	return out
}

// fieldsOf yields the length-delimited fields with a number.
func fieldsOf(msg []byte, want protowire.Number) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(msg) > 0 {
			num, typ, n := protowire.ConsumeTag(msg)
			if n < 0 {
				return
			}
			size := protowire.ConsumeFieldValue(num, typ, msg[n:])
			if size < 0 {
				return
			}
			if num == want && typ == protowire.BytesType {
				b, _ := protowire.ConsumeBytes(msg[n:])
				if !yield(b) {
					return
				}
			}
			msg = msg[n+size:]
		}
	}
}

func bytesField(msg []byte, num protowire.Number) []byte {
	for b := range fieldsOf(msg, num) {
		return b
	}
	return nil
}

// renamer multiplies what istiod wrote. All names keep their length, so that the
// bytes around them stay true.
type renamer func(b []byte, copy int) []byte

// largeNames is for test/recordings/10-large and 15-large-sotw: the same mesh,
// services svc-0000.team00 to svc-2999.team59.
func largeNames(b []byte, k int) []byte {
	return bytes.ReplaceAll(b, []byte("team"), fmt.Appendf(nil, "t%03d", k))
}

// filterNames is for test/recordings/13-istio-filters, one service: catalog.shop.
func filterNames(b []byte, k int) []byte {
	ns := fmt.Appendf(nil, "t%03d", k%40)
	b = bytes.ReplaceAll(b, []byte("catalog.shop"), fmt.Appendf(nil, "s%06d.%s", k, ns))
	return bytes.ReplaceAll(b, []byte("shop"), ns)
}

var service = regexp.MustCompile(`svc-\d{4}\.team\d\d|catalog\.shop`)

// multiply makes n clusters of what a recording has for services.
func (r *recording) multiply(typ string, n int, names renamer) ([][]byte, error) {
	var from [][]byte
	for _, b := range r.resources[typ] {
		if service.Match(b) && knob(b) > 0 {
			from = append(from, b)
		}
	}
	if len(from) == 0 {
		return nil, fmt.Errorf("the recording has no %s of a service", typ)
	}
	out := make([][]byte, n)
	for i := range out {
		out[i] = names(from[i%len(from)], i/len(from))
		if i < len(from) && len(from) > 1 {
			out[i] = slices.Clone(from[i])
		}
	}
	return out, nil
}

// knob is where a cluster's max_retries threshold stands: what Istio writes for it
// is 2^32-1, five bytes, and what a DestinationRule sets instead takes its place
// without moving anything. 0 where there is none.
func knob(b []byte) int { return bytes.LastIndex(b, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}) }

// turn changes a cluster as a DestinationRule would: any value that has five bytes.
func turn(at []byte, rnd *rand.Rand) {
	protowire.AppendVarint(at[:0:5], uint64(1<<28+rnd.Uint32N(1<<31)))
}

// payload is a discovery response that is sent again and again, some resources
// changed in place each time. Version, type and resources come first; the nonce,
// with the time of sending, is put behind for each sending.
type payload struct {
	typ   string
	buf   []byte
	knobs []int
	next  int
	rnd   *rand.Rand
}

func newPayload(typ string, resources [][]byte) *payload {
	p := &payload{typ: typ, rnd: rand.New(rand.NewPCG(1, 2))}
	b := appendString(nil, respVersion, "2026-11-22T19:39:43Z/1")
	for _, r := range resources {
		b = protowire.AppendTag(b, respResources, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(r)))
		if k := knob(r); k > 0 {
			p.knobs = append(p.knobs, len(b)+k)
		}
		b = append(b, r...)
	}
	p.buf = appendString(b, respType, typ)
	return p
}

// clone is p for another receiver.
func (p *payload) clone() *payload {
	c := *p
	c.buf, c.rnd = slices.Clone(p.buf), rand.New(rand.NewPCG(1, 2))
	return &c
}

// churn changes a share of the resources, one after the other.
func (p *payload) churn(share float64) {
	n := int(share*float64(len(p.knobs)) + 0.5)
	for range n {
		k := p.knobs[p.next%len(p.knobs)]
		turn(p.buf[k:k+5], p.rnd)
		p.next++
	}
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendBytes(b []byte, num protowire.Number, s []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), s)
}

// request is a state-of-the-world request; one with a nonce acknowledges.
func request(typ, version, nonce string, node []byte) []byte {
	var b []byte
	if version != "" {
		b = appendString(b, reqVersion, version)
	}
	if node != nil {
		b = appendBytes(b, reqNode, node)
	}
	b = appendString(b, reqType, typ)
	if nonce != "" {
		b = appendString(b, reqNonce, nonce)
	}
	return b
}

// named is a node with another id, so that each client is a sidecar of its own.
func named(node []byte, id string) []byte {
	var out []byte
	for len(node) > 0 {
		num, _, n := protowire.ConsumeField(node)
		if n < 0 {
			return out
		}
		if num == 1 {
			out = appendString(out, 1, id)
		} else {
			out = append(out, node[:n]...)
		}
		node = node[n:]
	}
	return out
}

// nodeID is a node id as Istio makes it.
func nodeID(name string) string {
	return fmt.Sprintf("sidecar~10.0.0.1~%s.bench~bench.svc.cluster.local", name)
}

// found is where the recordings are, seen from the project's root or from here.
func found(name string) (string, error) {
	for _, root := range []string{"test/recordings", "../../recordings", "../recordings"} {
		dir := filepath.Join(root, name)
		if _, err := os.Stat(dir); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("test/recordings/%s is not here: run from the project's root", name)
}

func openNamed(name string) (*recording, error) {
	dir, err := found(name)
	if err != nil {
		return nil, err
	}
	return openRecording(dir)
}

// large is the mesh of test/recordings/10-large as state of the world.
func large() (*recording, error) { return openNamed("15-large-sotw") }

// kilobyte is a response of one endpoint assignment of about 1 kB.
func (r *recording) kilobyte() (*payload, error) {
	best := slices.MinFunc(r.resources[xds.EndpointType], func(a, b []byte) int { return distance(a) - distance(b) })
	if best == nil {
		return nil, errors.New("the recording has no endpoints")
	}
	all := [][]byte{best}
	for i := 0; len(all)*len(best) < 900; i++ {
		all = append(all, r.resources[xds.EndpointType][i])
	}
	return newPayload(xds.EndpointType, all), nil
}

func distance(b []byte) int {
	if len(b) > 1000 {
		return len(b) - 1000
	}
	return 1000 - len(b)
}

// typeOf is the type of a payload by its name.
func typeOf(payload string) string {
	if payload == "eds" {
		return xds.EndpointType
	}
	return xds.ClusterType
}
