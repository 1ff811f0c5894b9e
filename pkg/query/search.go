package query

import (
	"errors"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Found is one value of a resource that was searched for: where it stands, and the
// line "field: value" that fits.
type Found struct {
	Path string `json:"path"`
	Line string `json:"line"`
}

// Search lists the values of one version of a resource that fit, at most that many
// (0: all). Lines look as in YAML: "cluster: outbound|3306||mysql.demo". The bytes
// of a resource that nobody can read are one line. A body that was not recorded
// holds nothing.
func (r *Reader) Search(typ string, d xds.Digest, fits func(line string) bool, most int) []Found {
	leaves, err := r.differ.Leaves(typ, d)
	var unknown *decode.UnknownTypeError
	if errors.As(err, &unknown) {
		return r.searchBytes(d, fits)
	}
	if err != nil {
		return nil
	}
	var out []Found
	leaves(func(p diff.Place, value string) bool {
		line := p.Field() + ": " + value
		if fits(line) {
			out = append(out, Found{Path: p.String(), Line: line})
		}
		return most == 0 || len(out) < most
	})
	return out
}

// searchBytes looks at the printable part of a resource of an unknown type.
func (r *Reader) searchBytes(d xds.Digest, fits func(string) bool) []Found {
	b, ok := r.body(d)
	if !ok || !fits(strings.ToValidUTF8(string(b), "?")) {
		return nil
	}
	return []Found{{Line: "(bytes of a type that is not known here)"}}
}

// Count is how often a text stands in a version of a resource.
func (r *Reader) Count(typ string, d xds.Digest, text string) int {
	n := 0
	r.Search(typ, d, func(line string) bool {
		n += strings.Count(line, text)
		return false
	}, 0)
	return n
}

// Moves reports whether a change brings a text into a resource, or takes it out of
// it: whether it stands there more often on one side than on the other.
func (r *Reader) Moves(c xds.Change, text string) bool {
	return r.Count(c.Type, c.Old, text) != r.Count(c.Type, c.New, text)
}
