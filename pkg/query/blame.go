package query

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Blamed is one value of a resource and the version that brought it as it is.
type Blamed struct {
	Steps []string // the path, step by step: keys of lists and maps stand in [ ]
	Value string
	By    Version
}

// Path is where the value stands.
func (b Blamed) Path() string { return diff.JoinSteps(b.Steps) }

// NoResourceError says that a resource was not there, and what has a name like it.
type NoResourceError struct {
	Name string
	Near []string
}

func (e *NoResourceError) Error() string { return fmt.Sprintf("there is no %q", e.Name) }

// BodyError says that the content of a version cannot be looked at.
type BodyError struct {
	Version Version
	Err     error
}

func (e *BodyError) Error() string {
	return fmt.Sprintf("reading %s %s as of #%d: %v", xds.ShortType(e.Version.Type), e.Version.Name, e.Version.First, e.Err)
}

// Unwrap gives the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// Blame lists the values that a resource had when push n was the last one, each with
// the first version since which it stands without interruption. A resource that was
// removed and came back is blamed on its return. Errors are *NoResourceError and
// *BodyError.
func (r *Reader) Blame(id xds.Sidecar, is func(typeURL string) bool, name string, n uint64) ([]Blamed, error) {
	all, err := r.Versions(id)
	if err != nil {
		return nil, err
	}
	lives := livesOf(all, is, name, n)
	if len(lives) == 0 {
		return nil, &NoResourceError{Name: name, Near: nearNames(all, is, name, n)}
	}
	out, err := r.values(lives[0])
	if err != nil {
		return nil, err
	}
	for _, v := range lives[1:] {
		older, err := r.values(v)
		if err != nil {
			break // what cannot be read is not blamed
		}
		blameOlder(out, older, v)
	}
	return out, nil
}

// livesOf lists the versions of a resource that lead to the one at push n, newest
// first, back to where it was not there.
func livesOf(all []Version, is func(string) bool, name string, n uint64) []Version {
	var out []Version
	for _, v := range slices.Backward(all) {
		switch {
		case v.Name != name || !is(v.Type) || v.First > n:
		case len(out) == 0 && v.Stands(n):
			out = append(out, v)
		case len(out) > 0 && !v.Removed && v.End == out[len(out)-1].First:
			out = append(out, v)
		}
	}
	return out
}

// values are those of one version, all blamed on it.
func (r *Reader) values(v Version) ([]Blamed, error) {
	leaves, err := r.differ.Leaves(v.Type, v.Digest)
	if err != nil {
		return nil, &BodyError{Version: v, Err: err}
	}
	var out []Blamed
	leaves(func(p diff.Place, value string) bool {
		out = append(out, Blamed{Steps: p.Steps(), Value: value, By: v})
		return true
	})
	return out, nil
}

// blameOlder moves the blame of values that an older version had already, as long as
// they had not been blamed on a version between.
func blameOlder(out, older []Blamed, v Version) {
	had := make(map[string]string, len(older))
	for _, o := range older {
		had[o.Path()] = o.Value
	}
	for i, b := range out {
		value, ok := had[b.Path()]
		if ok && value == b.Value && b.By.First == v.End {
			out[i].By = v
		}
	}
}

// nearNames are names of the type that stood at push n and look like name.
func nearNames(all []Version, is func(string) bool, name string, n uint64) []string {
	var out []string
	for _, v := range all {
		if is(v.Type) && v.Stands(n) && (strings.Contains(v.Name, name) || strings.Contains(name, v.Name)) {
			out = append(out, v.Name)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxNear)]
}
