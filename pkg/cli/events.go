package cli

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/filter"
	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type eventsOptions struct {
	source   sourceFlags
	span     spanFlags
	all      bool
	follow   bool
	severity string
	kinds    []string
	failOn   string
	exitCode bool
	watch    []string
	resume   string
	output   Format
}

func newEvents(app *App) *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events [SIDECAR] [FILTER]",
		Short: "Tell what the pushes did to traffic: captures, outages, rejected configuration",
		Long: `Tells what the pushes did to traffic, one event for each thing worth telling: which
destinations go elsewhere now, where they went before, whose object did it, how to
get out. Without SIDECAR, those of all sidecars; FILTER chooses among them, see
xdsproxy help filters.`,
		Example: `  xdsproxy events web-1.shop --since 1h
  xdsproxy events -f --severity high -o jsonl
  xdsproxy events port:3306 not kind:drain
  xdsproxy events --file session.jsonl.gz --fail-on critical
  xdsproxy events -f --first 1 --kind capture,dead-capture`,
		Args: filterArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runEvents(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	o.span.bind(cmd, "events")
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "the sidecars of all namespaces (the default without -n)")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with new events as they happen (stores only)")
	f.Var(newChoice(&o.severity, string(xds.Info), severityWords()...), "severity", "only events at least this severe")
	f.StringSliceVar(&o.kinds, "kind", nil, "only events of these kinds")
	f.Var(newChoice(&o.failOn, "", append([]string{""}, severityWords()...)...), "fail-on", "exit with 1 when there is an event at least this severe")
	f.BoolVar(&o.exitCode, "exit-code", true, "with =false, --fail-on does not change the exit status")
	f.StringArrayVar(&o.watch, "watch", nil, "`DEST` (ip, ip:port, cidr or cidr:port) whose shifts are always critical, repeatable")
	f.StringVar(&o.resume, "resume", "", "remember in `FILE` what was told, and go on from there; with -f, a signal ends it after what was recorded by then")
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func severityWords() []string {
	var out []string
	for _, s := range xds.Severities {
		out = append(out, string(s))
	}
	return out
}

func runEvents(ctx context.Context, app *App, o eventsOptions, args []string) error {
	args, chosen, err := takeFilter(args)
	if err != nil {
		return err
	}
	wants, err := o.wants(chosen)
	if err != nil {
		return err
	}
	watch, err := parseWatches(o.watch)
	if err != nil {
		return err
	}
	finish := o.follow && o.resume != "" // at the end too: who started us waits for what was written at last
	reading := ctx
	if finish {
		reading = context.WithoutCancel(ctx)
	}
	src, err := o.source.open(reading, app)
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
	ids, err := src.chosen(args, o.follow)
	if err != nil {
		return src.end(err)
	}
	memory, err := openMemory(o.resume)
	if err != nil {
		return err
	}
	t := &eventTeller{print: newEventPrinter(app, o.output, o.follow), wants: wants, span: span, memory: memory, failOn: xds.Severity(o.failOn)}
	start := span.since
	if s := memory.since(); s.After(start) {
		start = s
	}
	err = t.tell(src.read.Walk(ctx, query.WalkOptions{
		Sidecars: ids, Wanted: src.inNamespace, Since: start, Watch: watch, Display: src.label, Follow: o.follow, Finish: finish, OnIdle: t.idle(app),
	}))
	return t.end(ctx, src, o, err)
}

// chosen is several, but nil when following all or a namespace: sidecars may yet
// appear.
func (s *source) chosen(args []string, follow bool) ([]xds.Sidecar, error) {
	if follow && len(args) == 0 {
		return nil, nil
	}
	return s.several(args)
}

func (s *source) inNamespace(id xds.Sidecar) bool { return s.ns == "" || query.Namespace(id) == s.ns }

// end prints what was held back and finds the exit status.
func (t *eventTeller) end(ctx context.Context, src *source, o eventsOptions, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if merr := t.memory.save(); merr != nil {
		src.app.Warn("%v", merr)
	}
	if perr := t.finish(); perr != nil {
		return perr
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		src.broke(err)
		err = nil
	}
	if err == nil && t.failed && o.exitCode {
		err = ErrFound
	}
	return src.end(err)
}

// wants is what --severity, --kind and the filter let through.
func (o *eventsOptions) wants(f filter.Filter) (func(xds.Event) bool, error) {
	kinds := map[xds.EventKind]bool{}
	for _, k := range o.kinds {
		if !knownKind(xds.EventKind(k)) {
			return nil, Usagef("one of "+kindWords(), "unknown kind of event %q", k)
		}
		kinds[xds.EventKind(k)] = true
	}
	least := xds.Severity(o.severity).Rank()
	return func(e xds.Event) bool {
		return e.Severity.Rank() >= least && (len(kinds) == 0 || kinds[e.Kind]) && f.Match(filter.OfEvent(e))
	}, nil
}

func knownKind(k xds.EventKind) bool {
	for _, x := range xds.EventKinds {
		if x == k {
			return true
		}
	}
	return false
}

func kindWords() string {
	var out []string
	for _, k := range xds.EventKinds {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

func parseWatches(texts []string) ([]judge.Watch, error) {
	var out []judge.Watch
	for _, t := range texts {
		w, ok := parseWatch(t)
		if !ok {
			return nil, Usagef("10.10.13.110:3306, 10.10.0.0/16, [fd00::1]:443", "--watch %q is not a destination", t)
		}
		out = append(out, w)
	}
	return out, nil
}

func parseWatch(s string) (judge.Watch, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return judge.Watch{Prefix: onePrefix(ap.Addr()), Port: ap.Port()}, true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return judge.Watch{Prefix: onePrefix(a)}, true
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return judge.Watch{Prefix: p.Masked()}, true
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return judge.Watch{}, false
	}
	p, err := netip.ParsePrefix(s[:i])
	port, perr := strconv.ParseUint(s[i+1:], 10, 16)
	return judge.Watch{Prefix: p.Masked(), Port: uint16(port)}, err == nil && perr == nil
}

func onePrefix(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen())
}

// idle notes progress while nothing happens.
func (t *eventTeller) idle(app *App) func(uint64, time.Time) {
	return func(seq uint64, at time.Time) {
		if err := t.memory.progress(seq, at); err != nil {
			app.Warn("%v", err)
		}
	}
}
