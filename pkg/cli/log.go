package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/filter"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type logOptions struct {
	source sourceFlags
	span   spanFlags
	patch  bool
	stat   bool
	follow bool
	types  []string
	text   string
	life   string
	group  bool
	output Format
	filter filter.Filter
}

func newLog(app *App) *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:   "log [SIDECAR] [FILTER]",
		Short: "List the pushes, one line each: what changed, how it was answered, what it did",
		Long: `Lists the pushes of a sidecar, oldest first: number, time, type, how many resources
were added (+), changed (~) and removed (-), the answer and how long it took, and the
events that began with it (!). -p adds the changed resources. FILTER chooses among the
pushes by what they changed and what events they caused: xdsproxy help filters.

-S keeps the pushes that brought a text into a resource or took it out of one; -L those
that changed one resource, with each field that changed. --group puts the pushes of one
change of the control plane together: their order, the time between them, what was
missing in between, what stayed unanswered.

--stat counts the pushes instead, of all sidecars where none is named: how many
changed nothing (NO-OP) or resources but no traffic (NO SHIFT), the resources that came
in other bytes only (RE-ENCODED), the bytes that were there already (UNCHANGED), and
the fields and resources that change again and again.`,
		Example: `  xdsproxy log web-1.shop --since 1h
  xdsproxy log web-1.shop --type lds,cds -p --last 10
  xdsproxy log web-1.shop port:3306
  xdsproxy log web-1.shop -S 10.10.13.110
  xdsproxy log web-1.shop -L lds/0.0.0.0_3306
  xdsproxy log web-1.shop --group --last 3
  xdsproxy log --stat --since 1d
  xdsproxy log --file session.jsonl.gz`,
		Args: filterArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, f, err := takeFilter(args)
			if err != nil {
				return err
			}
			if o.filter = f; o.stat && !f.Empty() {
				return Usagef("without "+f.String(), "--stat counts all pushes: it takes no filter")
			}
			if o.stat && (o.text != "" || o.life != "" || o.group) {
				return Usagef("without --stat", "--stat counts all pushes: it takes no -S, -L or --group")
			}
			if o.stat {
				return runLogStat(cmd.Context(), app, o, args)
			}
			return runLog(cmd.Context(), app, o, args)
		},
	}
	o.source.bind(app, cmd)
	o.span.bind(cmd, "pushes")
	f := cmd.Flags()
	f.BoolVarP(&o.patch, "patch", "p", false, "show the changed resources of each push")
	f.BoolVar(&o.stat, "stat", false, "count instead: what changed nothing, and what changes again and again")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with new pushes as they come (stores only)")
	f.BoolVar(&o.group, "group", false, "show the pushes of one change of the control plane as one entry")
	f.StringVarP(&o.text, "search", "S", "", "only pushes that brought `TEXT` into a resource, or took it out of one")
	f.StringVarP(&o.life, "life", "L", "", "only pushes that changed the resource `TYPE/NAME`, with what changed")
	f.StringSliceVar(&o.types, "type", nil, "only pushes of these types: lds, cds, rds, eds, ... or a type URL")
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func runLog(ctx context.Context, app *App, o logOptions, args []string) error {
	life, err := parseLife(o.life)
	if err != nil {
		return err
	}
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	if o.follow && !src.live {
		return src.end(Usagef("without -f, or with --store", "%s does not grow: -f cannot follow it", src.name))
	}
	span, err := o.span.parse(src)
	if err != nil {
		return err
	}
	id, err := src.sidecar(args)
	if err != nil {
		return src.end(err)
	}
	t := &logTeller{print: newLogPrinter(app, src, o), o: o, span: span, content: logContent{src: src, text: o.text, life: life}}
	if o.group {
		return src.end(runLogGroups(ctx, app, src, id, o, t))
	}
	for l, err := range src.read.Lines(ctx, query.WalkOptions{
		Sidecars: []xds.Sidecar{id}, Since: span.since, Display: src.label, Follow: o.follow,
	}) {
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return err
			}
			src.broke(err)
			break
		}
		if more, err := t.line(l); err != nil {
			return src.end(err)
		} else if !more {
			break
		}
	}
	return src.end(t.finish())
}

// logTeller prints the lines that are wanted, until enough were.
type logTeller struct {
	print   *logPrinter
	o       logOptions
	span    span
	content logContent
	told    int
	last    []*query.Line
}

func (t *logTeller) line(l *query.Line) (bool, error) {
	if !t.wants(l) {
		return true, nil
	}
	if t.span.last > 0 {
		t.last = append(t.last, l)
		t.last = t.last[max(0, len(t.last)-t.span.last):]
		return true, nil
	}
	if err := t.print.print(l); err != nil {
		return false, err
	}
	t.told++
	return t.span.first == 0 || t.told < t.span.first, nil
}

func (t *logTeller) wants(l *query.Line) bool {
	if !t.span.holds(l.Time) || !l.Chosen(t.o.filter, t.print.src.label(l.Sidecar)) || !t.content.wants(l) {
		return false
	}
	if len(t.o.types) == 0 {
		return l.IsPush() || len(l.Events) > 0
	}
	return l.IsPush() && isType(l.Push.Type, t.o.types)
}

func (t *logTeller) finish() error {
	for _, l := range t.last {
		if err := t.print.print(l); err != nil {
			return err
		}
	}
	return t.print.close()
}
