package cli

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/admin"
	"github.com/xdsproxy/xdsproxy/pkg/intercept"
)

const (
	askTime  = 3 * time.Second
	askBytes = 64 << 10
	// expiresSoon is when a certificate that still holds is told. Those of Istio's
	// workloads last a day: for what lives that short, a tenth of its life counts.
	expiresSoon = 14 * 24 * time.Hour
)

// checkProxy asks the proxy itself.
func checkProxy(ctx context.Context, p *patient) Finding {
	if p.o.admin == "off" {
		return skip("not asked: --admin off")
	}
	h, err := askHealth(ctx, p.o.admin)
	if err != nil {
		return p.noProxy(err)
	}
	p.running = true
	if h.Status == admin.Degraded {
		return warn(CodeDegraded, "alive at "+p.o.admin+", traffic flows, but it is degraded", strings.Join(h.Reasons, "; "),
			"its log says more; the checks of the store below and above may name the cause")
	}
	return fine("alive at " + p.o.admin)
}

// noProxy: on a store that was named, and that no one writes to, none is missed.
func (p *patient) noProxy(err error) Finding {
	what := "none answers at " + p.o.admin
	written := p.history != nil && p.history.writing
	switch {
	case !p.asked && p.o.store != "" && !written:
		return skip(what + ": the store alone is looked at")
	case written:
		return warn(CodeNoProxy, what+", yet someone writes to the store", err.Error(), "--admin with the address that the proxy was started with (its log says it)")
	}
	return fail(CodeNoProxy, what, err.Error(), "start xdsproxy proxy; --admin with its address if it has another one; --store DIR to look at a store alone")
}

// askHealth gets /healthz.
func askHealth(ctx context.Context, addr string) (admin.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	var h admin.Health
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(addr, "/")+"/healthz?format=json", nil)
	if err != nil {
		return h, fmt.Errorf("making the request: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Do(q)
	if err != nil {
		var asked *url.Error
		if errors.As(err, &asked) {
			err = asked.Err
		}
		return h, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, askBytes))
	if err != nil {
		return h, fmt.Errorf("reading the answer: %w", err)
	}
	if err := json.Unmarshal(b, &h); err != nil || h.Status == "" || r.StatusCode != http.StatusOK {
		return h, fmt.Errorf("what answers there is no xdsproxy: %s", r.Status)
	}
	return h, nil
}

func checkUpstream(ctx context.Context, p *patient) Finding {
	o := p.o.upstream
	if o.upstream == "" {
		return skip("not asked: --upstream ADDRESS")
	}
	u, err := newUpstream(o, &intercept.Stats{})
	var known *Error
	switch {
	case errors.As(err, &known):
		return failed(err)
	case err != nil:
		return fail(CodeUsage, "--upstream: "+err.Error(), "it is not an address", "--upstream host:15012, or --upstream unix:///path")
	}
	if err := u.probe(ctx); err != nil {
		return fail(CodeUpstream, o.upstream+" cannot be reached from here", err.Error(), "the address, the network, and the TLS flags that the proxy has")
	}
	return fine(o.upstream + " answers")
}

// checkCertificates reads the files that the flags name.
func checkCertificates(_ context.Context, p *patient) Finding {
	o := p.o.upstream
	if o.ca == "" && o.cert == "" {
		return skip("not asked: --upstream-ca FILE, --upstream-cert FILE")
	}
	var said []string
	for _, path := range []string{o.ca, o.cert} {
		if path == "" {
			continue
		}
		certs, err := readCertificates(path)
		if err != nil {
			return failed(certificateFailure(path, err))
		}
		c := certs[0] // the client's own; those that signed it come behind
		if path == o.ca {
			c = slices.MaxFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }) // one that holds is enough
		}
		if f := validity(path, c, p.now); f.Status != StatusOK {
			return f
		}
		said = append(said, fmt.Sprintf("%s holds until %s", path, moment(c.NotAfter)))
	}
	return fine(strings.Join(said, "; "))
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// validity tells a certificate that ends soon, has ended or has not begun.
func validity(path string, c *x509.Certificate, now time.Time) Finding {
	why, try := "it is of "+c.Subject.String(), "renew it, or check the clock of this machine"
	left, life := c.NotAfter.Sub(now), c.NotAfter.Sub(c.NotBefore)
	switch {
	case now.Before(c.NotBefore):
		return fail(CodeCertificate, fmt.Sprintf("%s does not hold before %s", path, moment(c.NotBefore)), why, try)
	case left <= 0:
		return fail(CodeCertificate, fmt.Sprintf("%s has ended at %s", path, moment(c.NotAfter)), why, try)
	case left < min(expiresSoon, life/10):
		return warn(CodeCertificate, fmt.Sprintf("%s ends in %s, at %s", path, age(left), moment(c.NotAfter)), why, try)
	}
	return fine("")
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading a certificate: %w", err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no PEM certificate in it")
	}
	return out, nil
}
