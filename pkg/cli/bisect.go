package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/filter"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type bisectOptions struct {
	source    sourceFlags
	which     whichFlags
	good, bad string
	run       string
	expect    string
	output    Format
}

func newBisect(app *App) *cobra.Command {
	var o bisectOptions
	cmd := &cobra.Command{
		Use:   "bisect [SIDECAR] [FILTER]",
		Short: "Find the push since which something is wrong",
		Long: `Finds the first bad push between one that was good and one that is bad, by halving.
What is good is said by one of:

  --expect 'DEST verdict=KIND'   where a connection has to end; more words: cluster=,
                                 signal=, host=, path=, method=, sni=, source=
  --run COMMAND                  a shell command that exits with 0 (good), 125 (cannot
                                 tell) or anything up to 127 (bad); $PUSH, $SIDECAR and
                                 $XDSPROXY_STORE or $XDSPROXY_FILE tell it where
  FILTER                         no event that fits (xdsproxy help filters)

Exits with 1 when there is no bad push.`,
		Example: `  xdsproxy bisect web-1.shop --good @{2h} --expect '10.10.13.110:3306 verdict=passthrough'
  xdsproxy bisect web-1.shop --good 12 --bad 40 kind:*capture port:3306
  xdsproxy bisect --file s.jsonl.gz --run 'xdsproxy check -q --file "$XDSPROXY_FILE" --at $PUSH'`,
		Args: filterArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runBisect(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	o.which.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&o.good, "good", "", "revision at which all was well (default: the first that can be told)")
	f.StringVar(&o.bad, "bad", "HEAD", "revision at which it is not")
	f.StringVar(&o.run, "run", "", "test each push with a shell `COMMAND`")
	f.StringVar(&o.expect, "expect", "", "test where a connection ends: `'DEST verdict=KIND'`")
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func runBisect(ctx context.Context, app *App, o bisectOptions, args []string) error {
	args, f, err := takeFilter(args)
	if err != nil {
		return err
	}
	if ways := count(o.run != "", o.expect != "", !f.Empty()); ways != 1 {
		return Usagef("--expect '10.10.13.110:3306 verdict=passthrough', --run COMMAND, or kind:capture", "say what is good in one way, not in %d", ways)
	}
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	id, err := src.sidecar(args)
	if err != nil {
		return src.end(err)
	}
	b := &bisecter{ctx: ctx, app: app, src: src, id: id, o: o}
	if err := b.ends(); err != nil {
		return src.end(err)
	}
	if err := b.tester(f); err != nil {
		return src.end(err)
	}
	found, err := query.Bisect(b.good, b.bad, b.note)
	if err != nil {
		return src.end(err)
	}
	return src.end(b.tell(found))
}

func count(bs ...bool) int {
	n := 0
	for _, b := range bs {
		if b {
			n++
		}
	}
	return n
}

// bisecter is one search.
type bisecter struct {
	ctx       context.Context
	app       *App
	src       *source
	id        xds.Sidecar
	o         bisectOptions
	good, bad uint64
	test      func(push uint64) (query.Outcome, error)
}

// ends makes the revisions pushes.
func (b *bisecter) ends() error {
	bad, err := query.ParseRevision(b.o.bad)
	if err != nil {
		return revisionFailure(err)
	}
	p, err := b.src.at(b.id, bad)
	if err != nil {
		return err
	}
	b.bad = p.Push
	if b.o.good == "" {
		b.good, err = b.src.firstTold(b.id)
		return err
	}
	good, err := query.ParseRevision(b.o.good)
	if err != nil {
		return revisionFailure(err)
	}
	if p, err = b.src.at(b.id, good); err != nil {
		return err
	}
	if b.good = p.Push; b.good >= b.bad {
		return Usagef("--good 12 --bad 40", "--good (%s) is not before --bad (%s)", pushText(b.good), pushText(b.bad))
	}
	return nil
}

// firstTold is the first push whose state the history can tell.
func (s *source) firstTold(id xds.Sidecar) (uint64, error) {
	_, err := s.read.At(id, query.AtPush(0))
	var none *query.NoRevisionError
	if errors.As(err, &none) {
		return none.First, nil
	}
	return 0, err
}

// tester chooses how a push is tested.
func (b *bisecter) tester(f filter.Filter) error {
	switch {
	case b.o.run != "":
		b.test = b.shell
		return nil
	case b.o.expect != "":
		e, err := parseExpect(b.o.expect)
		b.test = func(push uint64) (query.Outcome, error) { return b.expected(e, push) }
		return err
	}
	first, err := b.firstEvent(f)
	b.test = func(push uint64) (query.Outcome, error) {
		if first > 0 && push >= first {
			return query.Bad, nil
		}
		return query.Good, nil
	}
	return err
}

// note tests a push and says what came of it, so that one sees it go on.
func (b *bisecter) note(push uint64) (query.Outcome, error) {
	if err := b.ctx.Err(); err != nil {
		return query.Skip, err
	}
	o, err := b.test(push)
	if err == nil {
		b.app.Note("%s is %s", pushText(push), [...]string{"good", "bad", "skipped"}[o])
	}
	return o, err
}

// expected asks where the connection ends.
func (b *bisecter) expected(e expectation, push uint64) (query.Outcome, error) {
	p, err := b.src.at(b.id, query.AtPush(push))
	if err != nil {
		return query.Skip, err
	}
	c := &checker{src: b.src}
	outcome := query.Good
	for _, v := range c.verdicts(e, p, b.src.read.View(p, b.o.which.which())) {
		if v.Kind == xds.Unknown && e.Verdict != xds.Unknown {
			return query.Skip, nil
		}
		if !e.met(v) {
			outcome = query.Bad
		}
	}
	return outcome, nil
}

// firstEvent is the first push after the good one with an event that fits; 0: none.
func (b *bisecter) firstEvent(f filter.Filter) (uint64, error) {
	var first uint64
	for e, err := range b.src.read.Walk(b.ctx, query.WalkOptions{Sidecars: []xds.Sidecar{b.id}, Display: b.src.label}) {
		if err := b.src.partial(err); err != nil {
			return 0, err
		}
		for _, ev := range e.Events {
			n := query.PushNumber(ev.Push)
			if f.Match(filter.OfEvent(ev)) && n > b.good && (first == 0 || n < first) {
				first = n
			}
		}
	}
	return first, nil
}

// nothing says that no push is bad.
func (b *bisecter) nothing(found query.Bisection) error {
	if found.Before {
		return Fail(CodeOther, fmt.Sprintf("%s, which was said to be good, is bad", pushText(b.good)), "an earlier --good", "nothing to find after %s", pushText(b.good))
	}
	b.app.Note("no push from %s to %s is bad", pushText(b.good), pushText(b.bad))
	return ErrFound
}
