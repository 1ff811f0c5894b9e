package cli

import (
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// cannotTell is the exit status with which a test says that it cannot tell, as for
// `git bisect run`; beyond lastBad the command itself failed.
const (
	cannotTell = 125
	lastBad    = 127
)

// shell runs the command of --run for a push. Its output goes to standard error.
func (b *bisecter) shell(push uint64) (query.Outcome, error) {
	cmd := exec.CommandContext(b.ctx, "sh", "-c", b.o.run)
	cmd.Stdout, cmd.Stderr = b.app.Stderr, b.app.Stderr
	cmd.Env = append(os.Environ(), "PUSH="+pushText(push)[1:], "SIDECAR="+b.src.label(b.id))
	if b.src.live {
		cmd.Env = append(cmd.Env, "XDSPROXY_STORE="+b.src.name)
	} else {
		cmd.Env = append(cmd.Env, "XDSPROXY_FILE="+b.src.name)
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return query.Good, nil
	case b.ctx.Err() != nil:
		return query.Skip, b.ctx.Err()
	case !errors.As(err, &exit) || exit.ExitCode() > lastBad || exit.ExitCode() < 0:
		return query.Skip, Fail(CodeOther, err.Error(), "a command that exits with 0 (good), 1 to 127 (bad) or 125 (cannot tell)", "cannot test %s with %q", pushText(push), b.o.run)
	case exit.ExitCode() == cannotTell:
		return query.Skip, nil
	}
	return query.Bad, nil
}

// parseExpect reads 'DEST verdict=passthrough signal=server-first ...'.
func parseExpect(text string) (expectation, error) {
	fail := func(why string) (expectation, error) {
		return expectation{}, Fail(CodeUsage, why, "--expect '10.10.13.110:3306 verdict=passthrough signal=server-first'", "cannot read --expect %q", text)
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return fail("it is empty")
	}
	e := expectation{Destination: words[0]}
	var s xds.Signal
	to := map[string]*string{
		"cluster": &e.Cluster, "source": &e.Source, "verdict": (*string)(&e.Verdict), "signal": (*string)(&s.Kind),
		"host": &s.Host, "path": &s.Path, "method": &s.Method, "sni": &s.SNI,
	}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok || to[key] == nil {
			return fail(w + " is none of verdict=, cluster=, signal=, host=, path=, method=, sni=, source=")
		}
		*to[key] = value
	}
	if s.Kind == "" {
		s.Kind = impliedKind(s)
	}
	if s.Kind != "" {
		e.Signal = &expectedSignal{s}
	}
	if err := e.parse(); err != nil {
		return fail(err.Error())
	}
	return e, nil
}
