package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/filter"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/replay"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type replayOptions struct {
	source   sourceFlags
	listen   string
	speed    string
	step     bool
	stepOn   string
	until    string
	breakOn  string
	loop     bool
	hold     bool
	envoy    string
	redirect bool
	drop     bool
	compare  string
	output   Format
}

// searchEnvoy is what --envoy without a path stands for.
const searchEnvoy = "find one"

func newReplay(app *App) *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay [SIDECAR] [A..B]",
		Short: "Serve a recorded range again, push by push, to an Envoy or any xDS client",
		Long: `Serves what a sidecar was sent between two revisions once more, push by push and
byte for byte, to whatever client connects (SotW or Delta, ADS or services of single
types), and tells for each push how this client answered and whether the sidecar had
answered likewise. It starts with what the sidecar held before A. Exits with 1 when
an answer, or what the Envoy then holds, is not as recorded.

--envoy starts a real Envoy for it, with the recorded node, clusters that lead here,
and secrets made up for those that were never stored, and compares its /config_dump
with the recorded state after each group of pushes. --redirect puts that Envoy into a
network namespace where every TCP connection goes to it, as in a pod: a client started
in there meets the past.

At a stop (--step, --break-on): Enter or any key sends the next push, c goes on to the
next stop of --break-on, q ends.`,
		Example: `  xdsproxy replay web-1.shop 40..42 --envoy
  xdsproxy replay web-1.shop --step --break-on kind:dead-capture --envoy --redirect
  xdsproxy replay --file session.jsonl.gz --listen 127.0.0.1:18000 --speed 10x`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return runReplay(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "`ADDRESS` to serve on; port 0 takes a free one")
	f.StringVar(&o.speed, "speed", "max", "how fast: 1x (as recorded), 10x, ..., or max")
	f.BoolVar(&o.step, "step", false, "stop before each push, or with --break-on from its first hit on")
	f.Var(newChoice(&o.stepOn, "terminal", "terminal", "stdin"), "step-on", "what ends a stop: a key on the terminal, or a line of stdin")
	f.StringVar(&o.until, "until", "", "end after this `REV`")
	f.StringVar(&o.breakOn, "break-on", "", "stop before a push with an event that fits a `FILTER` (help filters)")
	f.BoolVar(&o.loop, "loop", false, "begin again at the end")
	f.BoolVar(&o.hold, "hold", false, "go on serving what holds at the end, until interrupted")
	f.StringVar(&o.envoy, "envoy", "", "start an Envoy for it: `PATH`, by default $ENVOY_BIN or the one in PATH")
	f.Lookup("envoy").NoOptDefVal = searchEnvoy
	f.BoolVar(&o.redirect, "redirect", false, "with --envoy: in a network namespace with real redirection (root)")
	f.BoolVar(&o.drop, "drop-unknown-filters", false, "leave out the filters that the client lacks")
	f.Var(newChoice(&o.compare, "group", "group", "end", "none"), "compare", "when to compare the Envoy's /config_dump: after each group of pushes, at the end, or never")
	bindOutput(cmd, &o.output, FormatTable, FormatJSONL)
	return cmd
}

func runReplay(ctx context.Context, app *App, o replayOptions, args []string) error {
	speed, err := parseSpeed(o.speed)
	if err != nil {
		return err
	}
	if o.redirect && o.envoy == "" {
		return Usagef("--envoy --redirect", "--redirect needs --envoy: it is that Envoy that connections are sent to")
	}
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	plan, err := o.plan(ctx, src, args)
	if err != nil {
		return src.end(err)
	}
	s := &replaySession{app: app, o: o, src: src, plan: plan, speed: speed}
	return src.end(s.run(ctx))
}

// parseSpeed reads 1x, 10x, 0.5x; max is 0.
func parseSpeed(s string) (float64, error) {
	if s == "max" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(strings.TrimSuffix(s, "x"), 64)
	if err != nil || f <= 0 {
		return 0, Usagef("--speed 1x, --speed 10x, --speed max", "--speed %q is no speed", s)
	}
	return f, nil
}

// plan finds the sidecar and the range that the arguments mean.
func (o *replayOptions) plan(ctx context.Context, src *source, args []string) (*replay.Plan, error) {
	args, text, err := sidecarAndRevision(args, "")
	if err != nil {
		return nil, err
	}
	g := query.Range{From: query.AtPush(0), To: query.Head}
	if text != "" {
		if g, err = query.ParseRange(text); err != nil {
			return nil, revisionFailure(err)
		}
	}
	if o.until != "" {
		if g.To, err = query.ParseRevision(o.until); err != nil {
			return nil, revisionFailure(err)
		}
	}
	id, err := src.sidecar(args)
	if err != nil {
		return nil, err
	}
	p, err := replay.Load(ctx, src.read, id, g)
	var none *query.NoRevisionError
	if text == "" && errors.As(err, &none) && none.First > 0 {
		src.app.Note("the history begins at #%d", none.First)
		g.From = query.AtPush(none.First)
		p, err = replay.Load(ctx, src.read, id, g)
	}
	if errors.As(err, &none) {
		return nil, Fail(CodeNoRevision, none.Error()+"; what stood before was not recorded, or is no longer kept",
			fmt.Sprintf("xdsproxy replay %s %d..%d", src.label(id), none.First, none.Last), "no revision %s to replay from or to", none.Revision)
	}
	if err == nil && len(p.Steps) == 0 && len(p.Base.Types()) == 0 {
		return nil, Fail(CodeNoRevision, "no push is in it, and nothing was held before", "xdsproxy log "+src.label(id)+" lists the pushes there are", "nothing to replay")
	}
	return p, err
}

// breaks makes a filter of events out of its words (help filters).
func breaks(text string) (replay.Break, error) {
	f, err := parseFilter(text)
	return func(e xds.Event) bool { return f.Match(filter.OfEvent(e)) }, err
}

// listener opens the port that clients connect to.
func (o *replayOptions) listener(ctx context.Context) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return nil, Fail(CodePortInUse, err.Error(), "--listen 127.0.0.1:0 takes a free port", "cannot listen on %s", o.listen)
	}
	return l, nil
}
