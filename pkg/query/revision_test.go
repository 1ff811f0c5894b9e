package query

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseRevision(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"41": "#41", "#41": "#41", "0": "#0", "41~3": "#41~3", "HEAD": "HEAD", "HEAD~2": "HEAD~2", "HEAD~0": "HEAD",
		"@{10m}": "@{10m}", "@{1h}": "@{1h}", "@{90s}": "@{1m30s}", "@{2d}": "@{48h}", "@{0s}": "@{0s}",
		"@{2026-11-22T09:30:00Z}": AtTime(at).String(), "@{2026-11-22T09:30Z}": AtTime(at).String(),
		"@{2026-11-22T11:30:00.5+02:00}": AtTime(at.Add(time.Second / 2)).String(),
	} {
		r, err := ParseRevision(in)
		if err != nil || r.String() != want {
			t.Errorf("ParseRevision(%q) = %q, %v; want %q", in, r, err, want)
		}
	}
}

func TestParseRevisionRefuses(t *testing.T) {
	for _, in := range []string{"", "#", "head", "-1", "+1", "4x", "HEAD~", "HEAD~x", "HEAD~-1", "@{", "@{}", "@{10}", "@{-5m}", "@{10m", "web-1", "99999999999999999999", "1..2", "@{d}"} {
		_, err := ParseRevision(in)
		var re *RevisionError
		if !errors.As(err, &re) {
			t.Errorf("ParseRevision(%q): error %v", in, err)
		}
	}
}

func TestParseRange(t *testing.T) {
	for in, want := range map[string]string{
		"41..42": "#41..#42", "HEAD~2..HEAD": "HEAD~2..HEAD", "@{10m}..": "@{10m}..HEAD", "41": "#41~1..#41", "HEAD": "HEAD~1..HEAD",
		"@{2026-11-22T09:30:00Z}..@{5m}": "@{2026-11-22T09:30:00Z}..@{5m}",
	} {
		r, err := ParseRange(in)
		if err != nil || r.String() != want {
			t.Errorf("ParseRange(%q) = %q, %v; want %q", in, r, err, want)
		}
	}
	for _, in := range []string{"..", "..2", "1..x", "@{10m}", "1...2", "1..2..3"} {
		if r, err := ParseRange(in); err == nil {
			t.Errorf("ParseRange(%q) = %q", in, r)
		}
	}
}

func TestPrintedRevisionReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.OneOf(
			rapid.Map(rapid.Uint64Range(0, 1<<63-1), AtPush),
			rapid.Map(rapid.Uint64Range(0, 1<<63-1), func(n uint64) Revision { return Revision{Back: n} }),
			rapid.Map(rapid.Int64Range(0, 1<<62), func(n int64) Revision { return Revision{Ago: time.Duration(n), ago: true} }),
			rapid.Map(rapid.Int64Range(1, 4e18), func(n int64) Revision { return AtTime(time.Unix(0, n)) }),
		).Draw(t, "revision")
		got, err := ParseRevision(r.String())
		if err != nil || got != r {
			t.Fatalf("%q came back as %q, %v", r, got, err)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"41", "#1..HEAD~2", "@{10m}..@{2026-11-22T09:30:00Z}", "HEAD~1.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRange(s)
		if err != nil {
			return
		}
		if again, err := ParseRange(r.String()); err != nil || again != r {
			t.Fatalf("%q -> %q -> %q, %v", s, r, again, err)
		}
	})
}
