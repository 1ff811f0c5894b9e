package cli

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// sideName is one side of a comparison: [PATH:][SIDECAR][:REVISION].
type sideName struct {
	path     string // a store, transcript or config_dump; "" = the source of the flags
	sidecar  string // "" = the only one there is
	revision string // "" = HEAD
}

// parseSide reads a side. A path is a word that names a file or directory that is
// there.
func parseSide(text string) sideName {
	var s sideName
	rest := text
	if i := revisionAt(text); i >= 0 {
		rest, s.revision = text[:i], text[i+1:]
	}
	if isPath(rest) {
		s.path = rest
		return s
	}
	for i := len(rest) - 1; i > 0; i-- { // a path may hold colons itself
		if rest[i] == ':' && isPath(rest[:i]) {
			s.path, s.sidecar = rest[:i], rest[i+1:]
			return s
		}
	}
	s.sidecar = rest
	return s
}

// revisionAt is where the colon before a revision stands, -1 without one.
func revisionAt(text string) int {
	i := strings.LastIndex(text, ":@{") // times hold colons
	if i < 0 {
		i = strings.LastIndexByte(text, ':')
	}
	if i < 0 {
		return -1
	}
	if _, err := query.ParseRevision(text[i+1:]); err != nil {
		return -1
	}
	return i
}

func isPath(s string) bool {
	if s == "" {
		return false
	}
	_, err := os.Stat(s)
	return err == nil
}

// twoSides reports whether the arguments of diff name two sides: a sidecar or file
// each, and not a sidecar and a range.
func twoSides(args []string) bool {
	return len(args) == 2 && !query.IsRevision(args[1])
}

// diffSide is a side that was opened.
type diffSide struct {
	src   *source
	point query.Point
	label string
}

// diffSides compares two sidecars, or two histories.
func diffSides(ctx context.Context, app *App, o diffOptions, args []string) (out DiffResult, err error) {
	var sides [2]diffSide
	for i, text := range args {
		if sides[i], err = openSide(ctx, app, o, text); err != nil {
			return out, err
		}
		defer sides[i].src.close()
	}
	a, b, w := sides[0], sides[1], o.which.which()
	both := query.New(query.Config{Source: query.Joined(a.src.Source, b.src.Source)})
	view := func(s diffSide) *traffic.View {
		return both.Engine().View(s.point.Snapshot(w), s.src.read.Env(s.point.Sidecar, s.point.View.Node))
	}
	out = DiffResult{
		APIVersion: xds.APIVersion, From: a.label, To: b.label,
		Changes: both.Differ().Changes(a.point.Snapshot(w), b.point.Snapshot(w)),
		Shifts:  both.Engine().Compare(view(a), view(b)),
	}
	out.Uncertain = append(a.point.Uncertain(), b.point.Uncertain()...)
	out.Changes = listed(ofTypes(told(out.Changes, a.point.Snapshot(w), b.point.Snapshot(w)), o.types))
	for i := range out.Shifts {
		out.Shifts[i].Open = "" // no connection moves from one sidecar to another
	}
	if out.Shifts == nil {
		out.Shifts = []xds.Shift{}
	}
	return out, both.BodyError()
}

// told leaves out changes of types that one side says nothing about: a dump tells of
// secrets, which come to Envoy on another way than what was recorded.
func told(cs []xds.Change, a, b *state.Snapshot) []xds.Change {
	always := []string{xds.ListenerType, xds.ClusterType, xds.RouteType, xds.EndpointType}
	return slices.DeleteFunc(cs, func(c xds.Change) bool {
		return !slices.Contains(always, c.Type) && (a.Len(c.Type) == 0 || b.Len(c.Type) == 0)
	})
}

func openSide(ctx context.Context, app *App, o diffOptions, text string) (diffSide, error) {
	name := parseSide(text)
	flags := o.source
	if name.path != "" {
		flags.file, flags.store = pathFlags(name.path)
	}
	rev, err := query.ParseRevision(cmpString(name.revision, "HEAD"))
	if err != nil {
		return diffSide{}, revisionFailure(err)
	}
	src, err := flags.open(ctx, app)
	if err != nil {
		return diffSide{}, err
	}
	id, err := src.find(name.sidecar)
	if err == nil {
		var p query.Point
		if p, err = src.at(id, rev); err == nil {
			return diffSide{src: src, point: p, label: src.label(id) + " " + p.Revision.String()}, nil
		}
	}
	defer src.close()
	return diffSide{}, src.end(err)
}

// pathFlags says how a path is opened: a directory is a store.
func pathFlags(path string) (file, store string) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return "", path
	}
	return path, ""
}
