package state

import (
	"iter"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Difference is one resource that is not the same in two snapshots. A zero
// Digest means absent; xds.Bodyless means there, in bytes nobody knows.
type Difference struct {
	Type, Name string
	Old, New   xds.Digest
}

// Differences yields what differs between two snapshots, by type and then by
// name. It costs what differs: parts that both share are skipped unseen.
func Differences(a, b *Snapshot) iter.Seq[Difference] {
	return func(yield func(Difference) bool) {
		if a == b {
			return
		}
		for _, typ := range bothTypes(a, b) {
			for _, d := range tableDifferences(typ, a.table(typ), b.table(typ)) {
				if !yield(d) {
					return
				}
			}
		}
	}
}

func bothTypes(a, b *Snapshot) []string {
	types := append(a.Types(), b.Types()...)
	slices.Sort(types)
	return slices.Compact(types)
}

func tableDifferences(typ string, a, b *table) []Difference {
	var none [fanout]shard
	as, bs := &none, &none
	if a != nil {
		as = a.shards
	}
	if b != nil {
		bs = b.shards
	}
	if as == bs {
		return nil
	}
	var out []Difference
	for i := range as {
		if !as[i].same(bs[i]) {
			out = shardDifferences(out, typ, as[i], bs[i])
		}
	}
	slices.SortFunc(out, func(x, y Difference) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// shardDifferences merges two sorted shards.
func shardDifferences(out []Difference, typ string, a, b shard) []Difference {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].name < b[0].name:
			out = append(out, Difference{Type: typ, Name: a[0].name, Old: a[0].digest})
			a = a[1:]
		case len(a) == 0 || b[0].name < a[0].name:
			out = append(out, Difference{Type: typ, Name: b[0].name, New: b[0].digest})
			b = b[1:]
		default:
			if a[0].digest != b[0].digest {
				out = append(out, Difference{Type: typ, Name: a[0].name, Old: a[0].digest, New: b[0].digest})
			}
			a, b = a[1:], b[1:]
		}
	}
	return out
}
