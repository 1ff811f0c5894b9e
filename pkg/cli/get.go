package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// kindView is how one kind of resource is chosen and printed by get.
type kindView interface {
	header() []string
	keep(m proto.Message) bool
	compare(a, b proto.Message) int
	rows(m proto.Message) [][]string
}

type getOptions struct {
	source sourceFlags
	which  whichFlags
	at     string
	output Format

	address, kind, fqdn, direction string
	subset, name, cluster, status  string
	port                           uint32
}

func newGet(app *App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get",
		Short: "Show listeners, clusters, routes or endpoints of a sidecar, at any time",
		Long: `Shows what a sidecar holds, with the nouns, flags and columns of istioctl
proxy-config, now or at any revision.`,
		Example: `  xdsproxy get listener web-1.shop --port 3306 --at @{10m}
  xdsproxy get cluster web-1.shop --fqdn mysql.demo -o yaml
  xdsproxy get endpoint --file config_dump.json`,
	}
	for _, k := range getKinds() {
		cmd.AddCommand(k.command(app))
	}
	return group(cmd)
}

// getKind is a noun of get.
type getKind struct {
	noun    string
	aliases []string
	typ     string
	flags   func(*cobra.Command, *getOptions)
	view    func(getOptions) kindView
}

func getKinds() []getKind {
	return []getKind{
		{"listener", []string{"listeners", "l"}, xds.ListenerType, listenerFlags, func(o getOptions) kindView {
			return listenerView{address: o.address, port: o.port, kind: o.kind}
		}},
		{"cluster", []string{"clusters", "c"}, xds.ClusterType, clusterFlags, func(o getOptions) kindView {
			return clusterView{fqdn: o.fqdn, port: o.port, subset: o.subset, direction: o.direction}
		}},
		{"route", []string{"routes", "r"}, xds.RouteType, routeFlags, func(o getOptions) kindView {
			return routeView{name: o.name}
		}},
		{"endpoint", []string{"endpoints", "ep"}, xds.EndpointType, endpointFlags, func(o getOptions) kindView {
			return endpointView{address: o.address, port: o.port, cluster: o.cluster, status: o.status}
		}},
	}
}

func listenerFlags(cmd *cobra.Command, o *getOptions) {
	cmd.Flags().StringVar(&o.address, "address", "", "listeners on this address")
	cmd.Flags().Uint32Var(&o.port, "port", 0, "listeners on this port")
	cmd.Flags().StringVar(&o.kind, "type", "", "listeners of this type: HTTP, TCP, HTTP+TCP")
}

func clusterFlags(cmd *cobra.Command, o *getOptions) {
	cmd.Flags().StringVar(&o.fqdn, "fqdn", "", "clusters of this service")
	cmd.Flags().Uint32Var(&o.port, "port", 0, "clusters of this port")
	cmd.Flags().StringVar(&o.subset, "subset", "", "clusters of this subset")
	cmd.Flags().StringVar(&o.direction, "direction", "", "inbound or outbound")
}

func routeFlags(cmd *cobra.Command, o *getOptions) {
	cmd.Flags().StringVar(&o.name, "name", "", "the route of this name")
}

func endpointFlags(cmd *cobra.Command, o *getOptions) {
	cmd.Flags().StringVar(&o.address, "address", "", "endpoints of this address")
	cmd.Flags().Uint32Var(&o.port, "port", 0, "endpoints of this port")
	cmd.Flags().StringVar(&o.cluster, "cluster", "", "endpoints of this cluster")
	cmd.Flags().StringVar(&o.status, "status", "", "endpoints of this health status")
}

func (k getKind) command(app *App) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use: k.noun + " [SIDECAR]", Aliases: k.aliases,
		Short:   "Show the " + k.noun + "s of a sidecar",
		Example: fmt.Sprintf("  xdsproxy get %s web-1.shop\n  xdsproxy get %s --file session.jsonl.gz --at HEAD~3 -o yaml", k.noun, k.noun),
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runGet(cmd.Context(), app, k, o, args) },
	}
	o.source.bind(app, cmd)
	o.which.bind(cmd)
	cmd.Flags().StringVar(&o.at, "at", "HEAD", "revision")
	k.flags(cmd, &o)
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func runGet(ctx context.Context, app *App, k getKind, o getOptions, args []string) error {
	rev, err := query.ParseRevision(o.at)
	if err != nil {
		return revisionFailure(err)
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
	p, err := src.at(id, rev)
	if err != nil {
		return src.end(err)
	}
	view := k.view(o)
	found := src.resources(p, o.which.which(), k.typ)
	kept := slices.DeleteFunc(found, func(m resource) bool { return !view.keep(m.msg) })
	slices.SortStableFunc(kept, func(a, b resource) int { return view.compare(a.msg, b.msg) })
	for _, u := range p.Uncertain() {
		app.Warn("uncertain: %s", u)
	}
	return src.end(printGet(app, src, p, k, o, kept, view))
}

// at is the point of a revision, with errors for people. Where the history broke
// off, it is that of what stands before.
func (s *source) at(id xds.Sidecar, rev query.Revision) (query.Point, error) {
	as, err := s.read.AtMany(id, []query.Revision{rev})
	if len(as) == 0 {
		return query.Point{}, err
	}
	if err := s.partial(err); err != nil {
		return query.Point{}, err
	}
	if as[0].Err != nil {
		return query.Point{}, revisionFailure(as[0].Err)
	}
	return as[0].Point, nil
}
