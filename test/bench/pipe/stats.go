package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// figure is one line of the table.
type figure struct {
	Section  string  `json:"section"`
	What     string  `json:"what"`
	Measured float64 `json:"measured"`
	Low      float64 `json:"q1,omitempty"` // quartiles over rounds, where there are rounds
	High     float64 `json:"q3,omitempty"`
	Rounds   int     `json:"rounds,omitempty"`
	Unit     string  `json:"unit,omitempty"`
	Goal     float64 `json:"goal,omitempty"`
	AtLeast  bool    `json:"atLeast,omitempty"`
	Judged   bool    `json:"judged"` // it has a goal
	Met      bool    `json:"met"`
	Note     string  `json:"note,omitempty"`
}

// report collects figures.
type report struct {
	section string
	figures []figure
}

func (r *report) add(f figure) *figure {
	f.Section = r.section
	if f.Judged {
		f.Met = f.Measured <= f.Goal
		if f.AtLeast {
			f.Met = f.Measured >= f.Goal
		}
	}
	r.figures = append(r.figures, f)
	return &r.figures[len(r.figures)-1]
}

// fact is a figure without a goal.
func (r *report) fact(what string, v float64, unit string) *figure {
	return r.add(figure{What: what, Measured: v, Unit: unit})
}

// atMost is a figure with a goal.
func (r *report) atMost(what string, goal, v float64, unit string) *figure {
	return r.add(figure{What: what, Measured: v, Unit: unit, Goal: goal, Judged: true})
}

func (r *report) atLeast(what string, goal, v float64, unit string) *figure {
	return r.add(figure{What: what, Measured: v, Unit: unit, Goal: goal, Judged: true, AtLeast: true})
}

// skip says what could not be measured.
func (r *report) skip(what, why string) { r.add(figure{What: what, Note: "not measured: " + why}) }

func (f figure) String() string {
	s := fmt.Sprintf("%s: %s", f.What, f.value())
	if f.Judged {
		s += fmt.Sprintf(" (goal %s, %s)", f.goal(), met(f.Met))
	}
	if f.Note != "" {
		s += " [" + f.Note + "]"
	}
	return s
}

func (f figure) value() string {
	if f.Note != "" && f.Measured == 0 && !f.Judged {
		return "-"
	}
	s := fmt.Sprintf("%.4g %s", f.Measured, f.Unit)
	if f.Rounds > 0 {
		s += fmt.Sprintf(" (%.3g-%.3g)", f.Low, f.High)
	}
	return s
}

func (f figure) goal() string {
	switch {
	case !f.Judged:
		return ""
	case f.AtLeast:
		return fmt.Sprintf(">= %g", f.Goal)
	}
	return fmt.Sprintf("<= %g", f.Goal)
}

func met(ok bool) string {
	if ok {
		return "yes"
	}
	return "NO"
}

// tell writes the figures of one section as they came.
func (r *report) tell(w io.Writer) {
	for _, f := range r.figures {
		if f.Section == r.section {
			fmt.Fprintf(w, "  %s\n", f)
		}
	}
}

func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "section\tfigure\tgoal\tmeasured (quartiles)\tmet\tnote")
	for _, f := range r.figures {
		ok := ""
		if f.Judged {
			ok = met(f.Met)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Section, f.What, f.goal(), f.value(), ok, f.Note)
	}
	_ = t.Flush()
}

// write puts the figures, and those of the evaluator if there are any, into a file.
func (r *report) write(path string, about map[string]string, merge string) error {
	all := map[string]any{"about": about, "forwarding": r.figures}
	if b, err := os.ReadFile(merge); merge != "" && err == nil {
		all["evaluator"] = json.RawMessage(b)
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the figures: %w", err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// quantile of values; 0 without any.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// spread is a ratio with its quartiles over rounds.
type spread struct {
	mid, low, high float64
	n              int
}

// ratios divides round by round and takes the median: what hits a whole round hits
// both alike.
func ratios(a, b []float64) spread {
	var all []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			all = append(all, a[i]/b[i])
		}
	}
	return spread{median(all), quantile(all, 0.25), quantile(all, 0.75), len(all)}
}

func (f *figure) over(s spread) *figure {
	f.Low, f.High, f.Rounds = s.low, s.high, s.n
	return f
}
