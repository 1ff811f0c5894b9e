package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Revision names a point of one sidecar's history. The zero Revision is HEAD.
type Revision struct {
	Push    uint64        // "#41": after this push; meaningful when Numbered
	Back    uint64        // "HEAD~2": so many pushes before
	Ago     time.Duration // "@{10m}"
	Time    time.Time     // "@{2026-11-22T09:30:00Z}"
	numeric bool
	ago     bool
}

// Head is the end of the history.
var Head = Revision{}

// AtPush is the revision after push n; 0 is the state before the first one.
func AtPush(n uint64) Revision { return Revision{Push: n, numeric: true} }

// AtTime is the revision at a time.
func AtTime(t time.Time) Revision { return Revision{Time: t.UTC()} }

// Numbered reports whether the revision names a push by its number.
func (r Revision) Numbered() bool { return r.numeric }

// IsTime reports whether the revision names a time, relative or not.
func (r Revision) IsTime() bool { return r.ago || !r.Time.IsZero() }

// RevisionError says why a text is not a revision.
type RevisionError struct{ Text, Why string }

func (e *RevisionError) Error() string { return fmt.Sprintf("%q is not a revision: %s", e.Text, e.Why) }

// IsRevision reports whether an argument is meant as a revision (or range) and
// not as a sidecar: a word of digits always is.
func IsRevision(s string) bool {
	_, err := ParseRange(s)
	return err == nil || strings.Contains(s, "..") || strings.HasPrefix(s, "#") || strings.HasPrefix(s, "@{") || strings.HasPrefix(s, "HEAD~")
}

// ParseRevision reads `41`, `#41`, `HEAD`, `HEAD~2`, `@{10m}` or
// `@{2026-11-22T09:30:00Z}`. Errors are *RevisionError.
func ParseRevision(s string) (Revision, error) {
	fail := func(why string) (Revision, error) { return Revision{}, &RevisionError{Text: s, Why: why} }
	if inner, ok := strings.CutPrefix(s, "@{"); ok {
		inner, ok = strings.CutSuffix(inner, "}")
		if !ok {
			return fail("the closing } is missing")
		}
		return parseMoment(s, inner)
	}
	base, back, tilde := strings.Cut(s, "~")
	var r Revision
	if base != "HEAD" {
		n, err := parseCount(strings.TrimPrefix(base, "#"))
		if err != nil {
			return fail("a revision is 41, HEAD, HEAD~2, @{10m} or @{2026-11-22T09:30:00Z}")
		}
		r = AtPush(n)
	}
	if !tilde {
		return r, nil
	}
	n, err := parseCount(back)
	if err != nil {
		return fail("~ is followed by a number")
	}
	r.Back = n
	return r, nil
}

func parseCount(s string) (uint64, error) {
	if s == "" || s[0] < '0' || s[0] > '9' { // no sign
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, 10, 63)
}

func parseMoment(whole, s string) (Revision, error) {
	if t, ok := parseTime(s); ok {
		return AtTime(t), nil
	}
	if d, ok := parseDuration(s); ok {
		return Revision{Ago: d, ago: true}, nil
	}
	return Revision{}, &RevisionError{Text: whole, Why: "between @{ and } stands a duration (10m, 2h, 1d) or a time (2026-11-22T09:30:00Z)"}
}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil && !t.IsZero() {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// parseDuration reads a Go duration, or days ("2d").
func parseDuration(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := parseCount(days)
		if err != nil || n > 36500 {
			return 0, false
		}
		return time.Duration(n) * 24 * time.Hour, true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// ParseMoment reads what --since and --until take: a duration before now, or a
// time.
func ParseMoment(s string, now time.Time) (time.Time, error) {
	if t, ok := parseTime(s); ok {
		return t, nil
	}
	if d, ok := parseDuration(s); ok {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is neither a duration (10m, 2h, 1d) nor a time (2026-11-22T09:30:00Z)", s)
}

// String is the form that ParseRevision reads.
func (r Revision) String() string {
	s := "HEAD"
	switch {
	case r.ago:
		return "@{" + shortDuration(r.Ago) + "}"
	case !r.Time.IsZero():
		return "@{" + r.Time.UTC().Format(time.RFC3339Nano) + "}"
	case r.numeric:
		s = "#" + strconv.FormatUint(r.Push, 10)
	}
	if r.Back > 0 {
		s += "~" + strconv.FormatUint(r.Back, 10)
	}
	return s
}

// shortDuration prints without zero parts: 10m, not 10m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Range is two revisions, A..B.
type Range struct{ From, To Revision }

// ParseRange reads A..B. A.. ends at HEAD; one revision alone means the step that
// led to it, A~1..A. Errors are *RevisionError.
func ParseRange(s string) (Range, error) {
	a, b, two := strings.Cut(s, "..")
	from, err := ParseRevision(a)
	if err != nil {
		return Range{}, err
	}
	if !two {
		return stepTo(s, from)
	}
	if b == "" {
		return Range{From: from}, nil
	}
	to, err := ParseRevision(b)
	return Range{From: from, To: to}, err
}

func stepTo(s string, to Revision) (Range, error) {
	if to.IsTime() {
		return Range{}, &RevisionError{Text: s, Why: "a time needs a second one: A..B"}
	}
	from := to
	from.Back++
	return Range{From: from, To: to}, nil
}

// String is the form that ParseRange reads.
func (r Range) String() string { return r.From.String() + ".." + r.To.String() }
