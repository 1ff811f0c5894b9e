package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/demo"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type demoOptions struct{ dir string }

func newDemo(app *App) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the incident on this machine: a MySQL connection works, breaks and is explained",
		Long: `Show the incident on this machine, without a cluster: an embedded control plane serves configuration
recorded from a real istiod, xdsproxy stands between it and a real Envoy ($ENVOY_BIN, PATH, or
.tools/envoy), and a client's MySQL connection works, breaks and is explained.`,
		Example: "  xdsproxy demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), app, o)
		},
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory for the demo's store and logs (default: a fresh temporary one)")
	return cmd
}

func runDemo(ctx context.Context, app *App, o demoOptions) error {
	cfg := demo.Config{Out: app.Stdout, Envoy: findEnvoy(app), Dir: o.dir}
	var err error
	if cfg.Self, err = os.Executable(); err != nil {
		return err
	}
	if cfg.Dir == "" {
		if cfg.Dir, err = demo.NewDir(); err != nil {
			return err
		}
	} else if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return err
	}
	if err := stages(&cfg); err != nil {
		return err
	}
	if err := demo.Run(ctx, cfg); err != nil {
		return Fail(CodeOther, err.Error(), "read the logs in "+cfg.Dir, "the demo could not go on")
	}
	return nil
}

// stages fills in what the demo serves: the recorded sidecar's resources at three
// moments, and its node.
func stages(cfg *demo.Config) error {
	src, err := transcript.Read(bytes.NewReader(demo.Recording), "the demo's recording", transcript.Config{})
	if err != nil {
		return err
	}
	all, err := src.Sidecars()
	if err != nil {
		return err
	}
	r := query.New(query.Config{Source: src})
	for i, when := range []time.Time{demo.Before, demo.Captured, demo.Cured} {
		p, err := r.At(all[0], query.AtTime(when))
		if err != nil {
			return err
		}
		cfg.Node = r.Node(p.View.Node)
		if cfg.Stages[i], err = resources(r, p); err != nil {
			return err
		}
	}
	return nil
}

// resources decodes all that a sidecar held at a point.
func resources(r *query.Reader, p query.Point) ([]proto.Message, error) {
	var out []proto.Message
	for _, typ := range []string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.RouteType} {
		for _, d := range p.View.Active.All(typ) {
			m, err := r.Cache().Message(d)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// findEnvoy looks where `make demo` puts an Envoy, "" when there is none.
func findEnvoy(app *App) string {
	if e := app.Getenv("ENVOY_BIN"); e != "" {
		return e
	}
	if e, err := exec.LookPath("envoy"); err == nil {
		return e
	}
	if e, err := filepath.Abs(filepath.Join(".tools", "envoy")); err == nil {
		if st, err := os.Stat(e); err == nil && st.Mode()&0o111 != 0 {
			return e
		}
	}
	return ""
}
