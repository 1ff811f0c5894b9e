package query

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// SidecarError says that an argument does not name one sidecar.
type SidecarError struct {
	Arg   string   // as given, "" when none was
	Near  []string // the nearest names, or those that it may mean
	Many  bool     // it means several; else none
	Total int      // sidecars in the source (and namespace)
}

func (e *SidecarError) Error() string {
	switch {
	case e.Total == 0:
		return "there are no sidecars"
	case e.Arg == "":
		return fmt.Sprintf("there are %d sidecars, and none was named", e.Total)
	case e.Many:
		return fmt.Sprintf("sidecar %q may be one of %d", e.Arg, len(e.Near))
	}
	return fmt.Sprintf("no sidecar %q", e.Arg)
}

// maxNear is how many names an error lists.
const maxNear = 5

// FindSidecar resolves an argument: an exact full name, else an exact pod name,
// else a prefix, each of which must fit one sidecar only; "" means the only one
// there is. A namespace other than "" limits the choice.
func FindSidecar(all []xds.Sidecar, arg, namespace string) (xds.Sidecar, error) {
	in := InNamespace(all, namespace)
	if arg == "" {
		return only(in)
	}
	for _, fits := range []func(xds.Sidecar) bool{
		func(s xds.Sidecar) bool { return arg == s.FullName() || arg == s.Node },
		func(s xds.Sidecar) bool { return arg == s.Name() },
		func(s xds.Sidecar) bool { return arg == Pod(s) },
		func(s xds.Sidecar) bool {
			return !s.IsZero() && (strings.HasPrefix(s.FullName(), arg) || strings.HasPrefix(s.Node, arg))
		},
	} {
		got := keeping(in, fits)
		if len(got) == 1 {
			return got[0], nil
		}
		if len(got) > 1 {
			return xds.Sidecar{}, &SidecarError{Arg: arg, Near: names(got), Many: true, Total: len(in)}
		}
	}
	return xds.Sidecar{}, &SidecarError{Arg: arg, Near: nearest(in, arg), Total: len(in)}
}

func only(in []xds.Sidecar) (xds.Sidecar, error) {
	known := keeping(in, func(s xds.Sidecar) bool { return !s.IsZero() })
	switch {
	case len(known) == 1:
		return known[0], nil
	case len(known) == 0 && len(in) == 1:
		return in[0], nil
	}
	return xds.Sidecar{}, &SidecarError{Near: names(known), Many: true, Total: len(known)}
}

// InNamespace keeps the sidecars of a namespace; all for "".
func InNamespace(all []xds.Sidecar, namespace string) []xds.Sidecar {
	if namespace == "" {
		return all
	}
	return keeping(all, func(s xds.Sidecar) bool { return Namespace(s) == namespace })
}

// Pod is a sidecar's pod name, without its namespace.
func Pod(s xds.Sidecar) string {
	if i := strings.LastIndexByte(s.Name(), '.'); s.Istio() && i >= 0 {
		return s.Name()[:i]
	}
	return s.Name()
}

// Namespace is a sidecar's namespace, "" where its node id does not tell.
func Namespace(s xds.Sidecar) string {
	if i := strings.LastIndexByte(s.Name(), '.'); s.Istio() && i >= 0 {
		return s.Name()[i+1:]
	}
	return ""
}

// Labels names the sidecars for display: Name, or FullName where two have the same.
func Labels(all []xds.Sidecar) map[xds.Sidecar]string {
	count := map[string]int{}
	for _, s := range all {
		count[s.Name()]++
	}
	out := make(map[xds.Sidecar]string, len(all))
	for _, s := range all {
		out[s] = s.Name()
		if count[s.Name()] > 1 {
			out[s] = s.FullName()
		}
	}
	return out
}

func keeping(in []xds.Sidecar, keep func(xds.Sidecar) bool) []xds.Sidecar {
	var out []xds.Sidecar
	for _, s := range in {
		if keep(s) {
			out = append(out, s)
		}
	}
	return out
}

func names(in []xds.Sidecar) []string {
	labels := Labels(in)
	var out []string
	for _, s := range in {
		out = append(out, labels[s])
	}
	slices.Sort(out)
	if len(out) > maxNear {
		out = append(out[:maxNear], fmt.Sprintf("... %d more", len(in)-maxNear))
	}
	return out
}

// nearest lists the names that are closest to arg by edit distance.
func nearest(in []xds.Sidecar, arg string) []string {
	type scored struct {
		name string
		d    int
	}
	var all []scored
	for _, s := range in {
		if !s.IsZero() {
			all = append(all, scored{s.Name(), min(distance(arg, s.Name()), distance(arg, Pod(s)))})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int {
		if a.d != b.d {
			return a.d - b.d
		}
		return strings.Compare(a.name, b.name)
	})
	var out []string
	for _, s := range all[:min(len(all), maxNear)] {
		out = append(out, s.name)
	}
	return out
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, cost)
		}
	}
	return row[len(b)]
}
