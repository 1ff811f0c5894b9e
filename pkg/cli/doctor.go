package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// doctorAdmin is where a proxy is looked for when nobody says.
const doctorAdmin = "127.0.0.1:15098"

type doctorOptions struct {
	storeOptions
	admin    string
	upstream proxyOptions // of it, the flags named --upstream...
}

// The states of a Finding.
const (
	StatusOK   = "ok"
	StatusWarn = "warn" // works, and will not or not all of it
	StatusFail = "fail" // does not work
	StatusSkip = "skip" // nothing to look at
)

// DoctorReport is what `doctor -o json` prints.
type DoctorReport struct {
	APIVersion string    `json:"apiVersion"`
	OK         bool      `json:"ok"` // nothing found
	Checks     []Finding `json:"checks"`
}

// Finding is what one check says.
type Finding struct {
	APIVersion string `json:"apiVersion,omitempty"` // -o jsonl
	Check      string `json:"check"`
	Status     string `json:"status"` // ok, warn, fail, skip
	What       string `json:"what"`
	Code       Code   `json:"code,omitempty"` // warn, fail
	Why        string `json:"why,omitempty"`
	Try        string `json:"try,omitempty"`
}

func newDoctor(app *App) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say in words what is wrong with a proxy and its store",
		Long: `Looks at a proxy, its store and its control plane, and says what is wrong, why, and
what to try: one line for each check. Changes nothing, and works on a store alone.

A proxy is looked for at --admin; when it is not there, that is wrong unless --store
alone was given. --upstream and its flags, as for xdsproxy proxy, check the control
plane and the certificates. Exits with 1 when something was found.`,
		Example: `  xdsproxy doctor
  xdsproxy doctor --store ./history -o json
  xdsproxy doctor --upstream istiod.istio-system.svc:15012 \
    --upstream-ca /var/run/secrets/istio/root-cert.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), app, o, cmd.Flags().Changed("admin"))
		},
	}
	fl, u := cmd.Flags(), &o.upstream
	fl.StringVar(&o.store, "store", "", "the store in `DIR` (default: $XDSPROXY_STORE, /var/lib/xdsproxy, $XDG_STATE_HOME/xdsproxy)")
	fl.StringVar(&o.admin, "admin", doctorAdmin, "`ADDRESS` or URL of the proxy's health and metrics; off: there is no proxy")
	fl.StringVar(&u.upstream, "upstream", "", "the control plane: `ADDRESS` is host:port or unix:///path")
	fl.BoolVar(&u.upstreamTLS, "upstream-tls", false, "speak TLS to the control plane (implied by the flags below)")
	fl.StringVar(&u.ca, "upstream-ca", "", "`FILE` of certificates that the control plane's is checked against")
	fl.StringVar(&u.serverName, "upstream-server-name", "", "`NAME` that the control plane's certificate must have")
	fl.StringVar(&u.cert, "upstream-cert", "", "client certificate `FILE`")
	fl.StringVar(&u.key, "upstream-key", "", "`FILE` of its key")
	bindOutput(cmd, &o.output, FormatTable, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

// doctorChecks are the checks, in the order in which they are told. Later ones may
// use what earlier ones have found out of the patient.
func doctorChecks() []doctorCheck {
	return []doctorCheck{
		{"store", checkStore},
		{"access", checkAccess},
		{"space", checkSpace},
		{"damage", checkDamage},
		{"proxy", checkProxy},
		{"recording", checkRecording},
		{"gaps", checkGaps},
		{"judge", checkJudge},
		{"clock", checkClock},
		{"upstream", checkUpstream},
		{"certificates", checkCertificates},
	}
}

type doctorCheck struct {
	name string
	run  func(context.Context, *patient) Finding
}

// patient is what is looked at.
type patient struct {
	app     *App
	o       doctorOptions
	asked   bool // --admin was given
	dir     string
	now     time.Time
	history *recent // nil: there is no store to read
	running bool    // a proxy answers
}

func runDoctor(ctx context.Context, app *App, o doctorOptions, asked bool) error {
	if (o.upstream.cert == "") != (o.upstream.key == "") {
		return Usagef("give both", "--upstream-cert and --upstream-key go together")
	}
	p := &patient{app: app, o: o, asked: asked, now: app.Now()}
	report := DoctorReport{APIVersion: xds.APIVersion, OK: true, Checks: []Finding{}}
	for _, c := range doctorChecks() {
		f := c.run(ctx, p)
		if err := ctx.Err(); err != nil {
			return err
		}
		f.Check = c.name
		report.OK = report.OK && (f.Status == StatusOK || f.Status == StatusSkip)
		report.Checks = append(report.Checks, f)
	}
	if err := printDoctor(app, o.output, report); err != nil {
		return err
	}
	if !report.OK {
		return ErrFound
	}
	return nil
}

func fine(what string) Finding { return Finding{Status: StatusOK, What: what} }
func skip(what string) Finding { return Finding{Status: StatusSkip, What: what} }

func warn(code Code, what, why, try string) Finding {
	return Finding{Status: StatusWarn, Code: code, What: what, Why: why, Try: try}
}

func fail(code Code, what, why, try string) Finding {
	return Finding{Status: StatusFail, Code: code, What: what, Why: why, Try: try}
}

// failed makes a finding of an error.
func failed(err error) Finding {
	e := asError(err)
	return fail(e.Code, e.Message, e.Why, e.Try)
}
