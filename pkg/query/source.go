package query

import (
	"context"
	"iter"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Source is a history that can be read. Sequence numbers order it.
type Source interface {
	// Sidecars lists the clients; the zero Sidecar comes last, if there are
	// streams of nobody.
	Sidecars() ([]xds.Sidecar, error)
	// Base is the newest base of id with Seq <= at.
	Base(id xds.Sidecar, at uint64) (xds.Record, bool, error)
	// Records yields what concerns id, with Seq >= from, in order, without bases:
	// its own records, and gaps that concern everyone (zero Sidecar). It ends at
	// the first error.
	Records(id xds.Sidecar, from uint64) iter.Seq2[xds.Record, error]
	// Body reads a body; false where it was not recorded.
	Body(d xds.Digest) ([]byte, bool, error)
}

// Follower is a Source that grows: Follow yields as Records does and then waits
// for more, until ctx ends. The zero Sidecar stands for all. Refresh takes in what
// is there by now, for the other methods.
type Follower interface {
	Follow(ctx context.Context, id xds.Sidecar, from uint64) iter.Seq2[xds.Record, error]
	Refresh() error
}
