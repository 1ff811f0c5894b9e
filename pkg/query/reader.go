package query

import (
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Config says what a Reader reads, and how.
type Config struct {
	// Source is the history. Required.
	Source Source
	// Now is the clock that `@{10m}` counts from. Default: the time of the
	// sidecar's last record, as it should be for a file.
	Now func() time.Time
	// Env is what no push tells of the sidecars: the bootstrap's clusters and
	// listeners, and what a config_dump says beside its resources. Node and Istio
	// are filled in for each sidecar. Default: not known.
	Env traffic.Env
	// CacheBytes bounds the memory for decoded resources. Default: 256 MiB.
	CacheBytes int64
}

// Reader answers questions about one Source. It is used by one goroutine.
type Reader struct {
	src    Source
	now    func() time.Time
	cache  *decode.Cache
	engine *traffic.Engine
	differ *diff.Differ
	env    traffic.Env
	nodes  map[xds.Digest]*corev3.Node

	mu      sync.Mutex // guards bodyErr
	bodyErr error
}

// New makes a Reader.
func New(c Config) *Reader {
	if c.CacheBytes <= 0 {
		c.CacheBytes = 256 << 20
	}
	r := &Reader{src: c.Source, now: c.Now, env: c.Env, nodes: map[xds.Digest]*corev3.Node{}}
	r.cache = decode.New(r.body, c.CacheBytes)
	r.engine = traffic.NewEngine(r.cache)
	r.differ = diff.New(r.cache)
	return r
}

// Source is what the Reader reads.
func (r *Reader) Source() Source { return r.src }

// Cache decodes the source's bodies.
func (r *Reader) Cache() *decode.Cache { return r.cache }

// Engine evaluates traffic on the source's bodies.
func (r *Reader) Engine() *traffic.Engine { return r.engine }

// Differ compares the source's snapshots.
func (r *Reader) Differ() *diff.Differ { return r.differ }

// BodyError is the first error that reading a body met, nil if none did: what it
// was asked for counts as not recorded.
func (r *Reader) BodyError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodyErr
}

func (r *Reader) body(d xds.Digest) ([]byte, bool) {
	b, ok, err := r.src.Body(d)
	if err == nil {
		return b, ok
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bodyErr == nil {
		r.bodyErr = err
	}
	return nil, false
}
