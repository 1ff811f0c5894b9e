package cli

import (
	"context"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/intercept"
	"github.com/xdsproxy/xdsproxy/pkg/record"
)

// proxyOptions is what the flags of `xdsproxy proxy` say.
type proxyOptions struct {
	listen, upstream string
	upstreamTLS      bool
	ca, serverName   string
	cert, key        string
	store            string
	admin            string
	relayOnly        bool
	grace            time.Duration
	insecure         bool
	eventsFile       string
	eventsStdout     bool
	opaque           string
	logLevel         string
}

func newProxy(app *App) *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Forward between Envoy and its control plane, and record every push",
		Long: `Forwards bytes between Envoy and its control plane, one upstream connection for
each connection, and records what passes. Bytes are forwarded first and looked at
second: no failure of recording delays or ends a connection.

At the first SIGTERM or SIGINT it stops accepting, gives open connections --grace
to end, and writes what it has; a second one ends it at once.`,
		Example: `  xdsproxy proxy --listen 127.0.0.1:15099 --upstream istiod.istio-system.svc:15012 \
    --upstream-ca /var/run/secrets/istio/root-cert.pem --store /var/lib/xdsproxy
  xdsproxy proxy --listen unix:///run/xds.sock --upstream 127.0.0.1:15010 --events-stdout`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runProxy(cmd.Context(), app, o) },
	}
	o.bind(cmd)
	return cmd
}

func (o *proxyOptions) bind(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&o.listen, "listen", "127.0.0.1:15099", "where Envoy connects: `ADDRESS` is host:port or unix:///path")
	fl.StringVar(&o.upstream, "upstream", "", "the control plane: `ADDRESS` is host:port or unix:///path")
	fl.BoolVar(&o.upstreamTLS, "upstream-tls", false, "speak TLS to the control plane (implied by the flags below)")
	fl.StringVar(&o.ca, "upstream-ca", "", "`FILE` of certificates that the control plane's is checked against (default: the system's)")
	fl.StringVar(&o.serverName, "upstream-server-name", "", "`NAME` that the control plane's certificate must have (default: the host of --upstream)")
	fl.StringVar(&o.cert, "upstream-cert", "", "client certificate `FILE`, read again for each connection")
	fl.StringVar(&o.key, "upstream-key", "", "`FILE` of its key")
	fl.StringVar(&o.store, "store", "", "record into the store in `DIR` (default: $XDSPROXY_STORE, /var/lib/xdsproxy if there, $XDG_STATE_HOME/xdsproxy)")
	fl.StringVar(&o.admin, "admin", "127.0.0.1:15098", "`ADDRESS` of /healthz, /readyz and /metrics; off: none")
	fl.BoolVar(&o.relayOnly, "relay-only", false, "forward only, record nothing")
	fl.DurationVar(&o.grace, "grace", 5*time.Second, "how long open connections may last at the end")
	fl.BoolVar(&o.insecure, "insecure-listen", false, "allow addresses for --listen and --admin that others can reach in the clear")
	fl.StringVar(&o.eventsFile, "events-file", "", "append events, one JSON object a line, to `FILE`")
	fl.BoolVar(&o.eventsStdout, "events-stdout", false, "print events, one JSON object a line")
	fl.Var(newChoice(&o.opaque, string(record.OpaqueBytes), string(record.OpaqueBytes), string(record.OpaqueDigest)), "opaque",
		"what is kept of configuration of unknown types, which cannot be searched for secrets: bytes or digest")
	fl.Var(newChoice(&o.logLevel, "info", "debug", "info", "warn", "error"), "log-level", "debug, info, warn or error")
}

// judged reports whether events are wanted.
func (o *proxyOptions) judged() bool { return o.eventsFile != "" || o.eventsStdout }

// validate refuses what makes no sense or is not safe.
func (o *proxyOptions) validate() error {
	if o.upstream == "" {
		return Usagef("--upstream istiod.istio-system.svc:15012 --upstream-tls", "no control plane to forward to: --upstream is missing")
	}
	listen, err := intercept.ParseAddress(o.listen)
	if err != nil {
		return Usagef("--listen 127.0.0.1:15099, or --listen unix:///run/xds.sock", "--listen: %v", err)
	}
	if _, err := intercept.ParseAddress(o.upstream); err != nil {
		return Usagef("--upstream host:15012, or --upstream unix:///path", "--upstream: %v", err)
	}
	switch {
	case (o.cert == "") != (o.key == ""):
		return Usagef("give both", "--upstream-cert and --upstream-key go together")
	case o.eventsFile != "" && o.eventsStdout:
		return Usagef("one of them", "--events-file and --events-stdout exclude each other")
	case o.relayOnly && o.judged():
		return Usagef("leave out --relay-only", "without recording there are no events")
	}
	if err := o.checkAdmin(); err != nil || o.insecure {
		return err
	}
	switch {
	case !listen.Loopback():
		return Fail(CodeInsecureListen, "others could read and change the configuration on the way: there is no TLS on this side",
			"a loopback address or a Unix socket; or --insecure-listen", "refused to listen on %s in the clear", listen)
	case o.cert != "" && listen.Network == "tcp":
		return Fail(CodeInsecureListen, "whoever can connect would speak to the control plane with the identity of "+o.cert,
			"a Unix socket, which is for this user alone; or --insecure-listen", "refused to listen on %s with a client certificate", listen)
	}
	return nil
}

// checkAdmin refuses to tell others without being asked to.
func (o *proxyOptions) checkAdmin() error {
	if o.admin == "" || o.admin == "off" {
		return nil
	}
	a, err := intercept.ParseAddress(o.admin)
	if err != nil {
		return Usagef("--admin 127.0.0.1:15098, or --admin off", "--admin: %v", err)
	}
	if !a.Loopback() && !o.insecure {
		return Fail(CodeInsecureListen, "others could read health and metrics: nothing there asks who they are",
			"a loopback address, or --admin off; or --insecure-listen", "refused to serve --admin on %s", a)
	}
	return nil
}

// runProxy forwards until ctx is done.
func runProxy(ctx context.Context, app *App, o proxyOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	level, err := zerolog.ParseLevel(o.logLevel)
	if err != nil {
		return Usagef("--log-level info", "--log-level: %v", err)
	}
	p := &proxy{app: app, o: o, stats: &intercept.Stats{}, opened: make(chan struct{}), self: os.Executable, meter: newMeter(app.Now),
		log: zerolog.New(app.Stderr).Level(level).With().Timestamp().Logger()}
	if err := p.build(); err != nil {
		p.abandon()
		return err
	}
	return p.run(ctx)
}
