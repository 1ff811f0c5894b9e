package intercept

import (
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// inspector is what all parsers of one Observer share. Nothing in it changes but
// counters and the pool.
type inspector struct {
	tap      Tap
	stats    *Stats
	clock    func() time.Time
	seed     uint64
	budget   *budget
	flight   *flight
	inflater inflater
	scratch  slicePool[byte]  // for resources that span reads
	briefs   slicePool[brief] // for messages
}

// keyOf is the identity of a resource within this process. The seed keeps
// who writes configuration from making two resources with one key.
func (in *inspector) keyOf(b []byte) xds.Key { return xxh3.Hash128Seed(b, in.seed).Bytes() }
