package query

import (
	"cmp"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// fieldChurn is a FieldChurn while it is counted.
type fieldChurn struct {
	parts     []string // of the path, around its keys
	keys      []string // in brackets; anyKey where they differed
	changes   int
	resources map[string]bool
}

// anyKey stands for keys that were not always the same.
const anyKey = "..."

// resourceChurn is a ResourceChurn while it is counted.
type resourceChurn struct {
	changes   int
	before    xds.Digest // what it was before its last change; zero: absent
	run, most int        // moves between the same two contents in a row
}

// change counts one changed resource. What fills a type that was empty is the
// beginning, not churn.
func (t *TypeAccount) change(c xds.Change, beginning bool, d *diff.Differ) {
	switch c.Op {
	case diff.Add:
		t.Added++
	case diff.Remove:
		t.Removed++
	default:
		t.Changed++
	}
	if beginning {
		return
	}
	t.resource(c, d)
	counted := map[*fieldChurn]bool{}
	for _, path := range c.Paths {
		f := t.field(path)
		f.resources[c.Name] = true
		if !counted[f] {
			counted[f] = true
			f.changes++
		}
	}
}

func (t *TypeAccount) resource(c xds.Change, d *diff.Differ) {
	r := t.resources[c.Name]
	if r == nil {
		r = &resourceChurn{}
		t.resources[c.Name] = r
	}
	if r.changes++; r.changes > 1 && same(d, c.Type, r.before, c.New) {
		r.run++
	} else {
		r.run = 1
	}
	r.most = max(r.most, r.run)
	r.before = c.Old
}

// same reports whether two versions of a resource say the same.
func same(d *diff.Differ, typ string, a, b xds.Digest) bool {
	if a == b || a.IsZero() || b.IsZero() {
		return a == b
	}
	return len(d.Fields(typ, a, b)) == 0
}

// field finds the count of a path, whatever its keys are.
func (t *TypeAccount) field(path string) *fieldChurn {
	parts, keys := splitPath(path)
	id := strings.Join(parts, "[]")
	f := t.fields[id]
	if f == nil {
		f = &fieldChurn{parts: parts, keys: keys, resources: map[string]bool{}}
		t.fields[id] = f
		return f
	}
	for i := range f.keys {
		if f.keys[i] != keys[i] {
			f.keys[i] = anyKey
		}
	}
	return f
}

// splitPath parts a[k].b[l] into "a", ".b", "" and "k", "l". A bracket inside a key
// belongs to it, one that is never closed is no bracket.
func splitPath(path string) (parts, keys []string) {
	for {
		i := strings.IndexByte(path, '[')
		if i < 0 {
			break
		}
		n := closing(path[i:])
		if n < 0 {
			break
		}
		parts, keys = append(parts, path[:i]), append(keys, path[i+1:i+n])
		path = path[i+n+1:]
	}
	return append(parts, path), keys
}

// closing is the place of the bracket that closes the one s begins with, -1 for none.
func closing(s string) int {
	deep := 0
	for i := range len(s) {
		switch s[i] {
		case '[':
			deep++
		case ']':
			if deep--; deep == 0 {
				return i
			}
		}
	}
	return -1
}

func (f *fieldChurn) path() string {
	var b strings.Builder
	for i, p := range f.parts {
		b.WriteString(p)
		if i < len(f.keys) {
			b.WriteString("[" + f.keys[i] + "]")
		}
	}
	return b.String()
}

// rank lists what churned, the most first.
func (t *TypeAccount) rank() {
	t.Fields, t.Resources = nil, nil
	for _, f := range t.fields {
		t.Fields = append(t.Fields, FieldChurn{Path: f.path(), Changes: f.changes, Resources: len(f.resources)})
	}
	for name, r := range t.resources {
		if r.changes < 2 {
			continue
		}
		c := ResourceChurn{Name: name, Changes: r.changes}
		if r.most >= judge.FlapMoves {
			c.Moves = r.most
		}
		t.Resources = append(t.Resources, c)
	}
	slices.SortFunc(t.Fields, func(a, b FieldChurn) int {
		return cmp.Or(cmp.Compare(b.Changes, a.Changes), cmp.Compare(a.Path, b.Path))
	})
	slices.SortFunc(t.Resources, func(a, b ResourceChurn) int {
		return cmp.Or(cmp.Compare(b.Changes, a.Changes), cmp.Compare(a.Name, b.Name))
	})
}
