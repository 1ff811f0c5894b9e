package cli

import (
	"context"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/filter"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type grepOptions struct {
	source      sourceFlags
	span        spanFlags
	all         bool
	fixed, fold bool
	sidecar     string
	output      Format
}

func newGrep(app *App) *cobra.Command {
	var o grepOptions
	cmd := &cobra.Command{
		Use:   "grep PATTERN [FILTER]",
		Short: "Search all versions of all resources that were ever pushed",
		Long: `Searches every version of every resource that the sidecars were offered, and tells
from which push to which it stood. PATTERN is a regular expression (RE2) over lines
"field: value", as YAML would show them; -F takes it as plain text. FILTER chooses
among the versions: xdsproxy help filters. Exits with 1 when nothing is found.`,
		Example: `  xdsproxy grep 'mysql\.demo'
  xdsproxy grep -F 10.10.13.110 type:eds --since 1h
  xdsproxy grep '^cluster: outbound\|3306' sidecar:web-* -o jsonl`,
		Args: grepArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runGrep(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	o.span.bind(cmd, "versions")
	f := cmd.Flags()
	f.StringVar(&o.sidecar, "sidecar", "", "only what this sidecar was offered")
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "the sidecars of all namespaces (the default without -n)")
	f.BoolVarP(&o.fixed, "fixed-strings", "F", false, "PATTERN is plain text")
	f.BoolVarP(&o.fold, "ignore-case", "i", false, "upper and lower case are the same")
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

// grepArgs: the pattern stands first, whatever it looks like.
func grepArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return Usagef("xdsproxy grep 'mysql\\.demo'", "no pattern given")
	}
	return filterArgs(0)(cmd, args[1:])
}

func runGrep(ctx context.Context, app *App, o grepOptions, args []string) error {
	re, err := o.pattern(args[0])
	if err != nil {
		return err
	}
	_, f, err := takeFilter(args[1:])
	if err != nil {
		return err
	}
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	span, err := o.span.parse(src)
	if err != nil {
		return err
	}
	ids, err := src.several(optional(o.sidecar))
	if err != nil {
		return src.end(err)
	}
	g := &grepper{src: src, re: re, filter: f, span: span, seen: map[xds.Digest][]query.Found{}}
	for _, id := range ids {
		if err := g.sidecar(ctx, id); err != nil {
			return src.end(err)
		}
	}
	if err := printGrep(app, o.output, src, g.result()); err != nil {
		return src.end(err)
	}
	if len(g.found) == 0 {
		return src.end(ErrFound)
	}
	return src.end(nil)
}

func optional(arg string) []string {
	if arg == "" {
		return nil
	}
	return []string{arg}
}

func (o *grepOptions) pattern(text string) (*regexp.Regexp, error) {
	if o.fixed {
		text = regexp.QuoteMeta(text)
	}
	if o.fold {
		text = "(?i)" + text
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, Fail(CodeUsage, err.Error(), "quote what means something to regular expressions, or use -F", "cannot read the pattern %q", text)
	}
	return re, nil
}

// grepMatch is a version that holds what was searched.
type grepMatch struct {
	query.Version
	found []query.Found
}

// grepper searches sidecar after sidecar; what two of them hold alike is searched
// once.
type grepper struct {
	src    *source
	re     *regexp.Regexp
	filter filter.Filter
	span   span
	seen   map[xds.Digest][]query.Found
	found  []grepMatch
}

func (g *grepper) sidecar(ctx context.Context, id xds.Sidecar) error {
	versions, err := g.src.read.Versions(id)
	if err := g.src.partial(err); err != nil {
		return err
	}
	for _, v := range versions {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !g.wants(v) {
			continue
		}
		if found := g.search(v); len(found) > 0 {
			g.found = append(g.found, grepMatch{v, found})
		}
	}
	return nil
}

// wants: a version is in a span of time when it stood in it.
func (g *grepper) wants(v query.Version) bool {
	if !g.span.until.IsZero() && v.Since.After(g.span.until) {
		return false
	}
	if !g.span.since.IsZero() && v.End > 0 && v.Until.Before(g.span.since) {
		return false
	}
	var facts filter.Facts
	facts.Sidecar(g.src.label(v.Sidecar))
	facts.Resource(v.Type, v.Name)
	return g.filter.Match(facts)
}

func (g *grepper) search(v query.Version) []query.Found {
	if f, ok := g.seen[v.Digest]; ok {
		return f
	}
	f := g.src.read.Search(v.Type, v.Digest, g.re.MatchString, 0)
	g.seen[v.Digest] = f
	return f
}

// result is what is printed.
func (g *grepper) result() []grepMatch {
	switch {
	case g.span.first > 0:
		return g.found[:min(len(g.found), g.span.first)]
	case g.span.last > 0:
		return g.found[max(0, len(g.found)-g.span.last):]
	}
	return g.found
}
