package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/query"
)

// spanFlags bound a list by time and by count.
type spanFlags struct {
	since, until string
	first, last  int
}

func (f *spanFlags) bind(cmd *cobra.Command, what string) {
	fl := cmd.Flags()
	fl.StringVar(&f.since, "since", "", "only "+what+" since then: 10m, 2h, 1d before now (of a file: before its end), or a time")
	fl.StringVar(&f.until, "until", "", "only "+what+" until then")
	fl.IntVar(&f.first, "first", 0, "only the first `N`")
	fl.IntVar(&f.last, "last", 0, "only the last `N`")
}

// span is spanFlags made absolute.
type span struct {
	since, until time.Time
	first, last  int
}

// parse reads the flags; times count from now for a store, from the end of a file.
func (f *spanFlags) parse(src *source) (span, error) {
	s := span{first: f.first, last: f.last}
	if f.first < 0 || f.last < 0 || f.first > 0 && f.last > 0 {
		return s, Usagef("--first 5, or --last 5", "--first %d --last %d makes no sense", f.first, f.last)
	}
	if f.since == "" && f.until == "" {
		return s, nil
	}
	now, err := src.now()
	if err != nil {
		return s, err
	}
	for _, x := range []struct {
		text string
		to   *time.Time
	}{{f.since, &s.since}, {f.until, &s.until}} {
		if x.text == "" {
			continue
		}
		if *x.to, err = query.ParseMoment(x.text, now); err != nil {
			return s, Usagef("xdsproxy help revisions", "%v", err)
		}
	}
	return s, nil
}

func (s span) holds(t time.Time) bool {
	return (s.since.IsZero() || !t.Before(s.since)) && (s.until.IsZero() || !t.After(s.until))
}

// now is what durations count from: the clock for a store, the last record's time
// for a file.
func (s *source) now() (time.Time, error) {
	if s.live {
		return s.app.Now(), nil
	}
	return s.lastRecord(), nil
}

// lastRecord is the time of the newest record, zero without any.
func (s *source) lastRecord() time.Time {
	var end time.Time
	for _, id := range s.sidecars {
		t, err := s.read.End(id)
		if err != nil {
			s.broke(err)
		}
		if t.After(end) {
			end = t
		}
	}
	return end
}
