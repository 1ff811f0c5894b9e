package cli

import (
	"context"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// StatList is what `log --stat -o json` prints.
type StatList struct {
	APIVersion string        `json:"apiVersion"`
	Sidecars   []StatSidecar `json:"sidecars"`
}

// StatSidecar says what the pushes of a sidecar brought.
type StatSidecar struct {
	APIVersion string      `json:"apiVersion,omitempty"` // -o jsonl
	Sidecar    string      `json:"sidecar"`
	From       *time.Time  `json:"from,omitempty"` // first push that is counted
	To         *time.Time  `json:"to,omitempty"`   // last
	Total      StatCount   `json:"total"`
	Types      []StatType  `json:"types"`
	Flaps      []xds.Event `json:"flaps"`
}

// StatType is the part of one type.
type StatType struct {
	Type string `json:"type"`
	StatCount
	Fields    []StatField    `json:"fields"`
	Resources []StatResource `json:"resources"`
}

// StatCount counts pushes; sizes are in bytes on the wire.
type StatCount struct {
	Pushes         int `json:"pushes"`
	Bytes          int `json:"bytes"`
	NoOp           int `json:"noOp"`
	NoOpBytes      int `json:"noOpBytes"`
	AfterReconnect int `json:"noOpAfterReconnect"`
	UnchangedBytes int `json:"unchangedBytes"`
	NoShift        int `json:"noShift"`
	Added          int `json:"added"`
	Changed        int `json:"changed"`
	Removed        int `json:"removed"`
	Reencoded      int `json:"reencoded"`
	Rejected       int `json:"rejected"`
	Repeated       int `json:"repeated"`
	Unknown        int `json:"unknown"`
	Heartbeats     int `json:"heartbeats"`
}

// StatField is a field that differed.
type StatField struct {
	Path      string `json:"path"`
	Changes   int    `json:"changes"`
	Resources int    `json:"resources"`
}

// StatResource is a resource that changed more than once.
type StatResource struct {
	Name     string `json:"name"`
	Changes  int    `json:"changes"`
	ToAndFro int    `json:"toAndFro"`
}

// runLogStat is `log --stat`.
func runLogStat(ctx context.Context, app *App, o logOptions, args []string) error {
	if o.patch || o.follow || o.span.first != 0 || o.span.last != 0 {
		return Usagef("--stat with --since, --until and --type", "--stat counts pushes and lists none: -p, -f, --first and --last make no sense")
	}
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	sp, err := o.span.parse(src)
	if err != nil {
		return err
	}
	ids, err := src.several(args)
	if err != nil {
		return src.end(err)
	}
	all, err := src.read.Account(ctx, query.WalkOptions{Sidecars: ids, Since: sp.since, Display: src.label}, sp.holds)
	if err := src.partial(err); err != nil {
		return err
	}
	out := []StatSidecar{}
	for _, a := range all {
		out = append(out, statOf(src.label(a.Sidecar), a, o.types))
	}
	return src.end(printStat(app, o.output, out))
}

// statOf keeps the types that are named; none: all.
func statOf(label string, a *query.Account, types []string) StatSidecar {
	kept := query.Account{Sidecar: a.Sidecar}
	out := StatSidecar{Sidecar: label, Types: []StatType{}, Flaps: []xds.Event{}}
	out.Flaps = append(out.Flaps, a.Flaps...)
	for _, t := range a.Types {
		if isType(t.Type, types) {
			kept.Types = append(kept.Types, t)
			out.Types = append(out.Types, statType(t))
		}
	}
	out.Total = statCount(kept.Total())
	if !a.First.IsZero() {
		from, to := a.First.UTC(), a.Last.UTC()
		out.From, out.To = &from, &to
	}
	return out
}

func statType(t *query.TypeAccount) StatType {
	out := StatType{Type: t.Type, StatCount: statCount(t.Tally), Fields: []StatField{}, Resources: []StatResource{}}
	for _, f := range t.Fields {
		out.Fields = append(out.Fields, StatField(f))
	}
	for _, r := range t.Resources {
		out.Resources = append(out.Resources, StatResource{Name: r.Name, Changes: r.Changes, ToAndFro: r.Moves})
	}
	return out
}

func statCount(t query.Tally) StatCount {
	return StatCount{
		Pushes: t.Pushes, Bytes: t.Bytes, NoOp: t.NoOp, NoOpBytes: t.NoOpBytes, AfterReconnect: t.Reconnect,
		UnchangedBytes: t.IdleBytes, NoShift: t.NoShift, Added: t.Added, Changed: t.Changed, Removed: t.Removed,
		Reencoded: t.Reencoded, Rejected: t.Rejected, Repeated: t.Repeated, Unknown: t.Unknown, Heartbeats: t.Heartbeats,
	}
}
