package record

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// numbers holds the last push number of each sidecar, bounded by sidecarBytes.
type numbers struct {
	lru   *simplelru.LRU[xds.Sidecar, uint64]
	size  int
	floor uint64 // the highest number that was forgotten
}

func newNumbers(have map[xds.Sidecar]uint64) (*numbers, error) {
	n := &numbers{}
	var err error
	n.lru, err = simplelru.NewLRU(math.MaxInt32, func(id xds.Sidecar, last uint64) {
		n.size -= sidecarCost(id)
		n.floor = max(n.floor, last)
	})
	if err != nil {
		return nil, err
	}
	for id, last := range have {
		n.reach(id, last)
	}
	return n, nil
}

func sidecarCost(id xds.Sidecar) int { return 192 + len(id.Node) + len(id.Cluster) + len(id.Mesh) }

// last is a number that no push of the sidecar has gone beyond.
func (n *numbers) last(id xds.Sidecar) uint64 {
	if last, ok := n.lru.Get(id); ok {
		return last
	}
	return n.floor
}

// reach notes that number is taken.
func (n *numbers) reach(id xds.Sidecar, number uint64) {
	last, ok := n.lru.Get(id)
	n.lru.Add(id, max(last, number))
	if !ok {
		n.size += sidecarCost(id)
	}
	for n.size > sidecarBytes && n.lru.Len() > 1 {
		n.lru.RemoveOldest()
	}
}
