package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
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
	listenCert       string
	listenKey        string
	clientCA         string
	clientNames      []string
	hub              bool
	budget           int64
	store            string
	retain           retainOptions
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
	fl.StringVar(&o.cert, "upstream-cert", "", "client certificate `FILE`; it, its key and the CA are read again when they change")
	fl.StringVar(&o.key, "upstream-key", "", "`FILE` of its key")
	fl.StringVar(&o.listenCert, "listen-cert", "", "speak TLS on --listen with the certificate in `FILE`; it, its key and the CA are read again when they change")
	fl.StringVar(&o.listenKey, "listen-key", "", "`FILE` of its key")
	fl.StringVar(&o.clientCA, "listen-client-ca", "", "let in only clients whose certificate the ones in `FILE` vouch for")
	fl.StringSliceVar(&o.clientNames, "listen-client-name", nil, "and only those with this DNS name or URI in it: `NAME`, a * stands for anything but /")
	fl.BoolVar(&o.hub, "hub", false, "many sidecars connect: bound the socket buffers to 256 KiB each (implied where others can reach --listen)")
	newByteSize(&o.budget, intercept.DefaultBytes).bind(fl, "observe-budget", "memory for messages that are not complete, all connections together; beyond it resources are recorded without content")
	fl.StringVar(&o.store, "store", "", "record into the store in `DIR` (default: $XDSPROXY_STORE, /var/lib/xdsproxy if there, $XDG_STATE_HOME/xdsproxy)")
	o.retain.bind(fl)
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

// runProxy forwards until ctx is done.
func runProxy(ctx context.Context, app *App, o proxyOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	level, err := zerolog.ParseLevel(o.logLevel)
	if err != nil {
		return Usagef("--log-level info", "--log-level: %v", err)
	}
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE) // who read the log and went away must not end us
	defer signal.Stop(pipes)
	queue := newLogQueue(app.Stderr)
	defer queue.close()
	own := *app
	own.Stderr = queue
	p := &proxy{app: &own, stderr: app.Stderr, o: o, stats: &intercept.Stats{}, opened: make(chan struct{}), ending: make(chan struct{}), self: os.Executable, meter: newMeter(app.Now),
		log: zerolog.New(queue).Level(level).With().Timestamp().Logger()}
	if err := p.build(); err != nil {
		p.abandon()
		return err
	}
	return p.run(ctx)
}
