package cli

import (
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// logContent chooses pushes by what their changes hold: -S and -L.
type logContent struct {
	src  *source
	text string
	life *xds.Resource
}

// parseLife reads the argument of -L, nil for none.
func parseLife(s string) (*xds.Resource, error) {
	if s == "" {
		return nil, nil
	}
	r, ok := typedName(s)
	if !ok {
		return nil, Usagef("-L lds/0.0.0.0_3306, or -L 'cds/outbound|3306||mysql.demo'", "-L %q is not TYPE/NAME", s)
	}
	return &r, nil
}

// wants reports whether the push is one that -S and -L keep. Its changes are cut to
// those that are meant.
func (c logContent) wants(l *query.Line) bool {
	if c.text == "" && c.life == nil {
		return true
	}
	l.Changes = slices.DeleteFunc(slices.Clone(l.Changes), func(x xds.Change) bool { return !c.meant(x) })
	return len(l.Changes) > 0
}

func (c logContent) meant(x xds.Change) bool {
	if c.life != nil && (x.Name != c.life.Name || !isType(x.Type, []string{c.life.Type})) {
		return false
	}
	return c.text == "" || c.src.read.Moves(x, c.text)
}

// life writes what a push did to the one resource of -L.
func (p *logPrinter) life(b *strings.Builder, l *query.Line) {
	for _, c := range l.Changes {
		b.WriteString("      " + opSign(p.color, c.Op) + " " + c.Name + "\n")
		if c.Op != diff.Modify {
			continue
		}
		for _, f := range p.src.read.Differ().Fields(c.Type, c.Old, c.New) {
			p.field(b, f)
		}
	}
}

// field writes one field that changed: path, what was, what is.
func (p *logPrinter) field(b *strings.Builder, f diff.Field) {
	_ = wrap(b, f.Path, "        ", p.width) // a Builder takes everything
	if f.Old != "" {
		_ = wrapTo(b, f.Old, "        - ", "          ", p.width) // ditto
	}
	if f.New != "" {
		_ = wrapTo(b, f.New, "        + ", "          ", p.width) // ditto
	}
}
