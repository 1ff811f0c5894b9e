package intercept

import (
	"crypto/sha256"
	"hash"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// maxMessage bounds a request that is kept, and what a compressed message may
// hold when inflated.
const maxMessage = 32 << 20

// request reads one discovery request: all of it is kept.
type request struct {
	in    *inspector
	size  int
	buf   []byte
	sum   hash.Hash // instead of buf: over maxMessage
	share share
}

func newRequest(in *inspector, size uint64) *request {
	r := &request{in: in, size: int(size), share: share{from: in.budget}}
	if size > maxMessage {
		r.sum = sha256.New()
	}
	return r
}

func (r *request) feed(b []byte) error {
	if r.sum != nil {
		r.sum.Write(b)
		return nil
	}
	if !r.share.take(len(b)) {
		return errMemory
	}
	r.buf = append(r.buf, b...)
	return nil
}

func (r *request) finish() (*xds.Message, error) {
	if r.sum != nil {
		return &xds.Message{Size: r.size, Omitted: "too large", Digest: xds.Digest(r.sum.Sum(nil)[:20])}, nil
	}
	if err := eachField(r.buf, func(int, []byte) {}); err != nil {
		return nil, err
	}
	if r.buf == nil {
		r.buf = []byte{}
	}
	return &xds.Message{Size: r.size, Envelope: r.buf}, nil
}

func (r *request) drop() { r.share.release() }

// requestType is the type URL of a request. Its field differs between the two
// protocol variants (envoy/service/discovery/v3/discovery.proto).
func requestType(envelope []byte, delta bool) string {
	if delta {
		return stringField(envelope, 2)
	}
	return stringField(envelope, 4)
}
