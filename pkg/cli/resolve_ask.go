package cli

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// question is one of resolve; a line of --batch has this form.
type question struct {
	Destination string      `json:"destination"`
	Source      string      `json:"source"`
	Sidecar     string      `json:"sidecar"`
	At          string      `json:"at"`
	Signal      *xds.Signal `json:"signal"`
}

// ResolveAnswer is what `resolve -o json` prints. Of a range, Before and After
// are set instead of At and Verdicts.
type ResolveAnswer struct {
	APIVersion  string        `json:"apiVersion"`
	Sidecar     string        `json:"sidecar"`
	At          string        `json:"at,omitempty"`
	Destination string        `json:"destination"`
	Source      string        `json:"source,omitempty"`
	Verdicts    []xds.Verdict `json:"verdicts,omitempty"`
	Uncertain   []string      `json:"uncertain,omitempty"`
	Before      *ResolveSide  `json:"before,omitempty"`
	After       *ResolveSide  `json:"after,omitempty"`
}

// ResolveSide is one end of a range.
type ResolveSide struct {
	At        string        `json:"at"`
	Verdicts  []xds.Verdict `json:"verdicts"`
	Uncertain []string      `json:"uncertain,omitempty"`
}

// asker answers questions about one source.
type asker struct {
	src   *source
	read  *query.Reader
	which query.Which
}

func newAsker(src *source, w query.Which) *asker {
	return &asker{src: src, read: src.read, which: w}
}

// asked is a question read: where, when, what.
type asked struct {
	q    question
	dst  netip.AddrPort
	from netip.Addr
	revs []query.Revision // one, or the two of a range
}

func readQuestion(q question) (asked, error) {
	a := asked{q: q}
	var err error
	if a.dst, err = parseDestination(q.Destination); err != nil {
		return a, err
	}
	if q.Source != "" {
		if a.from, err = netip.ParseAddr(q.Source); err != nil {
			return a, Usagef("an IP address without a port", "%q is not a source address", q.Source)
		}
		a.from = a.from.Unmap()
	}
	if q.Signal != nil {
		if err := checkSignal(*q.Signal); err != nil {
			return a, err
		}
	}
	a.revs, err = readRevisions(q.At)
	return a, err
}

func readRevisions(at string) ([]query.Revision, error) {
	if at == "" {
		at = "HEAD"
	}
	if strings.Contains(at, "..") {
		r, err := query.ParseRange(at)
		if err != nil {
			return nil, revisionFailure(err)
		}
		return []query.Revision{r.From, r.To}, nil
	}
	r, err := query.ParseRevision(at)
	if err != nil {
		return nil, revisionFailure(err)
	}
	return []query.Revision{r}, nil
}

// revisionFailure gives errors about revisions their form.
func revisionFailure(err error) error {
	var bad *query.RevisionError
	var none *query.NoRevisionError
	switch {
	case errors.As(err, &bad):
		return Fail(CodeBadRevision, bad.Why, "xdsproxy help revisions", "%q is not a revision", bad.Text)
	case errors.As(err, &none):
		return Fail(CodeNoRevision, none.Error(), "xdsproxy log lists the pushes there are", "no revision %s", none.Revision)
	}
	return err
}

func (k *asker) ask(id xds.Sidecar, q question) (ResolveAnswer, error) {
	a, err := readQuestion(q)
	if err != nil {
		return ResolveAnswer{}, err
	}
	points, err := k.read.AtMany(id, a.revs)
	if len(points) == 0 {
		return ResolveAnswer{}, err
	}
	if err := k.src.partial(err); err != nil {
		return ResolveAnswer{}, err
	}
	return k.answer(a, points)
}

// answer evaluates a question at its points.
func (k *asker) answer(a asked, points []query.Answer) (ResolveAnswer, error) {
	var sides []ResolveSide
	for _, p := range points {
		if p.Err != nil {
			return ResolveAnswer{}, revisionFailure(p.Err)
		}
		sides = append(sides, k.side(a, p.Point))
	}
	out := ResolveAnswer{
		APIVersion: xds.APIVersion, Sidecar: k.src.label(points[0].Sidecar), Destination: a.dst.String(), Source: a.q.Source,
	}
	if len(sides) == 2 {
		out.Before, out.After = &sides[0], &sides[1]
		return out, nil
	}
	out.At, out.Verdicts, out.Uncertain = sides[0].At, sides[0].Verdicts, sides[0].Uncertain
	return out, nil
}

func (k *asker) side(a asked, p query.Point) ResolveSide {
	view := k.read.View(p, k.which)
	from := a.from
	if !from.IsValid() {
		from = k.read.SourceAddress(p, a.dst.Addr())
	}
	s := ResolveSide{At: p.Revision.String(), Uncertain: p.Uncertain()}
	if a.q.Signal == nil {
		s.Verdicts = view.Classes(a.dst, from)
	} else {
		v := view.Resolve(a.dst, from, *a.q.Signal)
		if v.Class == nil {
			v.Class = &xds.Class{Kind: a.q.Signal.Kind}
		}
		s.Verdicts = []xds.Verdict{v}
	}
	for i := range s.Verdicts {
		if s.Verdicts[i].Endpoints == nil {
			s.Verdicts[i].Endpoints = []xds.Endpoint{}
		}
	}
	return s
}
