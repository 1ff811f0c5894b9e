package diff

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The operations of a Change.
const (
	Add    = "add"
	Remove = "remove"
	Modify = "change"
)

// NotRecorded is the path of a change whose content is not there to look at.
const NotRecorded = "(body not recorded)"

// NotDecodable is the path of a change whose bytes are no message of its type.
const NotDecodable = "(not decodable)"

// Differ compares snapshots. It holds no state but the decoder's cache and is
// safe for concurrent use.
type Differ struct{ cache *decode.Cache }

// New returns a Differ that reads bodies through c.
func New(c *decode.Cache) *Differ { return &Differ{cache: c} }

// Field is one field that differs. Old or New is "" where it is absent; values
// are one line each, shortened.
type Field struct {
	Path, Old, New string
}

// Result is all that differs between two snapshots.
type Result struct {
	Changes []xds.Change // by type, then name
	// Reencoded counts the resources whose bytes differ and whose content does
	// not: they are no changes.
	Reencoded int
}

// Changes lists what differs between a and b, by type, then name.
func (d *Differ) Changes(a, b *state.Snapshot) []xds.Change { return d.Compare(a, b).Changes }

// Reencoded counts the resources of b that are equal to those of a in all but
// their bytes.
func (d *Differ) Reencoded(a, b *state.Snapshot) int { return d.Compare(a, b).Reencoded }

// Compare is Changes and Reencoded at once. Its cost is proportional to what
// differs in bytes.
func (d *Differ) Compare(a, b *state.Snapshot) Result {
	var r Result
	for x := range state.Differences(a, b) {
		c := xds.Change{Type: x.Type, Name: x.Name, Op: op(x), Old: x.Old, New: x.New}
		if c.Op == Modify {
			c.Paths = paths(d.Fields(x.Type, x.Old, x.New))
			if len(c.Paths) == 0 {
				r.Reencoded++
				continue
			}
		}
		r.Changes = append(r.Changes, c)
	}
	slices.SortFunc(r.Changes, func(a, b xds.Change) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
	})
	return r
}

func op(x state.Difference) string {
	switch {
	case x.Old.IsZero():
		return Add
	case x.New.IsZero():
		return Remove
	}
	return Modify
}

func paths(fs []Field) []string {
	var out []string
	seen := map[string]bool{}
	for _, f := range fs {
		if !seen[f.Path] {
			seen[f.Path] = true
			out = append(out, f.Path)
		}
	}
	return out
}

// Fields lists what differs between two versions of one resource, none where
// they are equal but for their bytes. Content that is not there, or not
// readable, is one Field whose path says so.
func (d *Differ) Fields(typ string, from, to xds.Digest) []Field {
	if from == to {
		return nil
	}
	a, errA := d.message(from)
	b, errB := d.message(to)
	if err := errors.Join(errA, errB); err != nil {
		return []Field{{Path: opaquePath(typ, err), Old: digest(from), New: digest(to)}}
	}
	w := walker{keys: tables[xds.Canonical(typ)]}
	w.message("", a.ProtoReflect(), b.ProtoReflect())
	return w.out
}

func (d *Differ) message(g xds.Digest) (proto.Message, error) {
	if g == xds.Bodyless || g.IsZero() {
		return nil, decode.ErrNoBody
	}
	return d.cache.Message(g)
}

// opaquePath is where comparing ends: at the type URL of what nobody can read.
func opaquePath(typ string, err error) string {
	var unknown *decode.UnknownTypeError
	switch {
	case errors.Is(err, decode.ErrNoBody):
		return NotRecorded
	case errors.As(err, &unknown):
		return typ
	}
	return NotDecodable
}

func digest(d xds.Digest) string {
	if d == xds.Bodyless || d.IsZero() {
		return ""
	}
	return d.String()
}
