package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type resolveOptions struct {
	source        sourceFlags
	signal        string
	host, path    string
	method, sni   string
	headers, alpn []string
	bytes, from   string
	at            string
	which         whichFlags
	batch         string
	output        Format
}

func newResolve(app *App) *cobra.Command {
	var o resolveOptions
	cmd := &cobra.Command{
		Use:   "resolve [SIDECAR] IP:PORT",
		Short: "Say where Envoy sends a connection to a destination, and why",
		Long: `Says where Envoy sends a connection to a destination, and why: one verdict for each
class of first bytes ("signal") that the listener tells apart, or the verdict for
one --signal. --at takes a revision, or a range A..B for before and after.

With --batch, questions are read as JSON lines, and each gets one answer line:
  {"destination":"10.10.13.110:3306","at":"41","signal":{"kind":"server-first"}}`,
		Example: `  xdsproxy resolve web-1.shop 10.10.13.110:3306
  xdsproxy resolve web-1.shop 10.10.13.110:3306 --signal server-first --at HEAD~1..HEAD
  xdsproxy resolve 10.0.0.1:443 --sni www.example.com --file session.jsonl.gz
  xdsproxy resolve --file config_dump.json --batch questions.jsonl -o jsonl`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return runResolve(cmd.Context(), app, o, args) },
	}
	o.source.bind(app, cmd)
	o.which.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&o.signal, "signal", "", "what the client says first: "+signalWords())
	f.StringVar(&o.host, "host", "", "HTTP host (implies --signal http/1.1)")
	f.StringVar(&o.path, "path", "", "HTTP path")
	f.StringVar(&o.method, "method", "", "HTTP method")
	f.StringArrayVar(&o.headers, "header", nil, "HTTP header as `key=value`, repeatable")
	f.StringVar(&o.sni, "sni", "", "TLS server name (implies --signal tls)")
	f.StringSliceVar(&o.alpn, "alpn", nil, "TLS application protocols")
	f.StringVar(&o.bytes, "bytes", "", "an exact first flight, in `HEX` (implies --signal bytes)")
	f.StringVar(&o.from, "source", "", "source `IP` of the connection (default: the sidecar's own)")
	f.StringVar(&o.at, "at", "HEAD", "revision, or range A..B")
	f.StringVar(&o.batch, "batch", "", "read questions from `FILE`, - for standard input")
	bindOutput(cmd, &o.output, FormatTable, FormatWide, FormatShort, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func signalWords() string {
	var words []string
	for _, k := range xds.SignalKinds {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

func runResolve(ctx context.Context, app *App, o resolveOptions, args []string) error {
	src, err := o.source.open(ctx, app)
	if err != nil {
		return err
	}
	defer src.close()
	if o.batch != "" {
		return src.end(runBatch(ctx, app, o, args, src))
	}
	if len(args) == 0 {
		return Usagef("xdsproxy resolve --help", "no destination given")
	}
	dest, args := args[len(args)-1], args[:len(args)-1]
	id, err := src.sidecar(args)
	if err != nil {
		return err
	}
	a := newAsker(src, o.which.which())
	q := question{Destination: dest, Source: o.from, At: o.at}
	if q.Signal, err = o.signalOf(); err != nil {
		return err
	}
	ans, err := a.ask(id, q)
	if err != nil {
		return err
	}
	return src.end(printResolve(app, o.output, ans))
}

// signalOf is the signal that the flags describe, nil for none.
func (o *resolveOptions) signalOf() (*xds.Signal, error) {
	s := xds.Signal{Kind: xds.SignalKind(o.signal), Host: o.host, Path: o.path, Method: o.method, SNI: o.sni, ALPN: o.alpn, Hex: o.bytes}
	for _, h := range o.headers {
		k, v, ok := strings.Cut(h, "=")
		if !ok {
			return nil, Usagef("--header key=value", "--header %q has no =", h)
		}
		if s.Headers == nil {
			s.Headers = map[string]string{}
		}
		s.Headers[k] = v
	}
	if s.Kind == "" {
		s.Kind = impliedKind(s)
	}
	if s.Kind == "" {
		return nil, nil
	}
	return &s, checkSignal(s)
}

// impliedKind guesses the kind from what else was given; "" when nothing was.
func impliedKind(s xds.Signal) xds.SignalKind {
	switch {
	case s.Hex != "":
		return xds.Bytes
	case s.SNI != "" || len(s.ALPN) > 0:
		return xds.TLS
	case s.Host != "" || s.Path != "" || s.Method != "" || len(s.Headers) > 0:
		return xds.HTTP11
	}
	return ""
}

// maxPad bounds what a question makes of a few bytes: no inspector reads further.
const maxPad = 1 << 20

func checkSignal(s xds.Signal) error {
	known := false
	for _, k := range xds.SignalKinds {
		known = known || s.Kind == k
	}
	if !known {
		return Usagef("one of "+signalWords(), "unknown signal %q", string(s.Kind))
	}
	if s.Pad < 0 || s.Pad > maxPad {
		return Fail(CodeUsage, "so many bytes follow the ones in hex", fmt.Sprintf("a number from 0 to %d", maxPad), "pad %d is out of range", s.Pad)
	}
	if _, err := hex.DecodeString(s.Hex); err != nil {
		return Fail(CodeUsage, err.Error(), "an even number of hex digits", "cannot read the bytes %q", s.Hex)
	}
	return nil
}

func parseDestination(s string) (netip.AddrPort, error) {
	dst, err := netip.ParseAddrPort(s)
	if err != nil || dst.Port() == 0 {
		return dst, Usagef("10.10.13.110:3306 or [fd00::1]:443; resolve a name to an address first", "%q is not a destination", s)
	}
	return netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port()), nil
}
