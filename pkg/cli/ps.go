package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type psOptions struct {
	source sourceFlags
	all    bool
	since  string
	output Format
}

// psWindow is how far back rejections and events of a store are counted.
const psWindow = time.Hour

// PsList is what `ps -o json` prints.
type PsList struct {
	APIVersion string      `json:"apiVersion"`
	Sidecars   []PsSidecar `json:"sidecars"`
}

// PsSidecar is one sidecar at the end of the history.
type PsSidecar struct {
	APIVersion  string                  `json:"apiVersion,omitempty"` // -o jsonl
	Name        string                  `json:"name"`
	Node        string                  `json:"node"`
	Cluster     string                  `json:"cluster,omitempty"`
	Mesh        string                  `json:"mesh,omitempty"`
	Streams     int                     `json:"streams,omitempty"` // of "?" only
	Connected   bool                    `json:"connected"`
	LastPush    string                  `json:"lastPush"`
	LastSeen    time.Time               `json:"lastSeen"`
	Types       []PsType                `json:"types"`
	NACKs       uint64                  `json:"nacks"`
	Rejected    []xds.Resource          `json:"rejected"`
	Events      map[xds.Severity]uint64 `json:"events"`
	Stat        *StatCount              `json:"stat,omitempty"` // -o wide, json, jsonl, yaml
	Uncertain   []string                `json:"uncertain,omitempty"`
	Incarnation int                     `json:"incarnation"`
}

// PsType is what happened to one type.
type PsType struct {
	Type  string `json:"type"`
	Push  string `json:"push"`
	State string `json:"state"` // ack, nack, pending
}

func newPs(app *App) *cobra.Command {
	var o psOptions
	cmd := &cobra.Command{
		Use:   "ps [SIDECAR]",
		Short: "List the sidecars: last push and state of each type, rejections, events",
		Long: `Lists the sidecars of a history. Under each type stands its last push: * answered with
an ACK, ! rejected, ? not answered yet. -o wide adds how many pushes there were, how
many changed nothing (NO-OP), and how many of the bytes were there already
(UNCHANGED); xdsproxy log --stat says more. The row ? stands for the streams whose
client never said who it is: no request with a node was seen on them.

NACK counts rejected pushes, EVENTS what xdsproxy events tells, by severity: of a file
all, of a store those of the last hour before now, or before its end when nothing was
recorded for an hour. --since counts from elsewhere.`,
		Example: "  xdsproxy ps\n  xdsproxy ps -n shop -o json\n  xdsproxy ps --file session.jsonl.gz",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runPs(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	cmd.Flags().BoolVarP(&o.all, "all-namespaces", "A", false, "the sidecars of all namespaces (the default without -n)")
	cmd.Flags().StringVar(&o.since, "since", "", "count pushes, rejections and events since then (default: 1h before now, or before the end of a store that is older; of a file: all)")
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func runPs(ctx context.Context, app *App, o psOptions, args []string) error {
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	ids, err := src.several(args)
	if err != nil {
		return src.end(err)
	}
	sp, err := o.span(src)
	if err != nil {
		return err
	}
	all, err := src.status(ctx, ids, sp, o.output == FormatWide || machine(o.output))
	if err != nil {
		src.broke(err)
	}
	now, err := src.now()
	if err != nil {
		return src.end(err)
	}
	return src.end(printPs(app, o.output, all, now))
}

// span is what rejections and events are counted in. A store is counted from its
// end where nothing was written into it for long: it is looked at as a file is.
func (o *psOptions) span(src *source) (span, error) {
	if o.since != "" || !src.live {
		return (&spanFlags{since: o.since}).parse(src)
	}
	from := src.app.Now()
	if end := src.lastRecord(); from.Sub(end) > psWindow {
		from = end
	}
	return span{since: from.Add(-psWindow)}, nil
}

// status walks the history once for all sidecars, and counts their pushes too where
// that is asked for.
func (s *source) status(ctx context.Context, ids []xds.Sidecar, sp span, pushes bool) ([]PsSidecar, error) {
	all := make([]PsSidecar, 0, len(ids))
	at := map[xds.Sidecar]int{}
	var failed error
	for _, id := range ids {
		one, err := s.psOne(id)
		if err != nil {
			failed = err
		}
		if id.IsZero() && one.Streams == 0 { // gaps are of nobody too
			continue
		}
		at[id] = len(all)
		all = append(all, one)
	}
	var account *query.Accountant
	if pushes {
		account = s.read.NewAccountant(sp.holds)
		defer func() { addPushes(all, at, account.Accounts()) }()
	}
	counted := func(rec xds.Record) {
		if account != nil {
			account.Record(rec)
		}
		i, ok := at[rec.Sidecar]
		if ok && rec.Kind == xds.KindAnswer && rec.Answer.NACK() && sp.holds(rec.Time) {
			all[i].NACKs += max(1, rec.Answer.Repeat) // Repeat are further ones, in a record of their own
		}
	}
	for e, err := range s.read.Walk(ctx, query.WalkOptions{Sidecars: ids, Since: sp.since, Display: s.label, OnRecord: counted}) {
		if err != nil {
			return all, err
		}
		if account != nil {
			account.Entry(e)
		}
		for _, ev := range e.Events {
			if i, ok := at[e.ID]; ok && sp.holds(ev.Time) {
				all[i].Events[ev.Severity]++
			}
		}
	}
	return all, failed
}

func addPushes(all []PsSidecar, at map[xds.Sidecar]int, accounts []*query.Account) {
	for i := range all {
		all[i].Stat = &StatCount{}
	}
	for _, a := range accounts {
		if i, ok := at[a.Sidecar]; ok {
			*all[i].Stat = statCount(a.Total())
		}
	}
}

// psOne is one sidecar's row, without what is counted over time; the zero Sidecar
// stands for the streams of nobody.
func (s *source) psOne(id xds.Sidecar) (PsSidecar, error) {
	if !id.IsZero() {
		p, err := s.read.Status(id)
		return s.psOf(id, p), err
	}
	n, err := s.read.Nobody()
	one := s.psOf(id, n.Status)
	one.Streams, one.Connected, one.LastSeen = n.Streams, n.Open > 0, n.LastSeen.UTC()
	var last uint64
	for _, t := range n.Types {
		last = max(last, t.Push)
	}
	one.LastPush = pushText(last)
	return one, err
}

func (s *source) psOf(id xds.Sidecar, p query.Status) PsSidecar {
	out := PsSidecar{
		Name: s.label(id), Node: id.Node, Cluster: id.Cluster, Mesh: id.Mesh, Connected: p.View.Connected, LastPush: pushText(p.View.LastPush),
		LastSeen: p.View.LastSeen.UTC(), Types: []PsType{}, Rejected: []xds.Resource{}, Events: map[xds.Severity]uint64{},
		Uncertain: p.Uncertain(), Incarnation: p.View.Incarnation,
	}
	for _, t := range p.Types {
		out.Types = append(out.Types, PsType{Type: t.Type, Push: pushText(t.Push), State: t.State})
	}
	for _, r := range p.View.Rejected {
		out.Rejected = append(out.Rejected, xds.Resource{Type: r.Type, Name: r.Name})
	}
	return out
}

func printPs(app *App, f Format, all []PsSidecar, now time.Time) error {
	switch f {
	case FormatJSON, FormatYAML:
		return Emit(app.Stdout, f, PsList{APIVersion: xds.APIVersion, Sidecars: all})
	case FormatJSONL:
		for _, p := range all {
			p.APIVersion = xds.APIVersion
			if err := Emit(app.Stdout, f, p); err != nil {
				return err
			}
		}
		return nil
	case FormatShort:
		for _, p := range all {
			if _, err := fmt.Fprintln(app.Stdout, p.Name); err != nil {
				return err
			}
		}
		return nil
	}
	return psTable(app, f, all, now)
}
