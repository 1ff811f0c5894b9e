package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/intercept"
)

const (
	probeTime = 3 * time.Second  // how long a probe may take
	freshTime = 30 * time.Second // how long a connection that worked counts
)

// upstream is the control plane: how to speak to it, and whether it answers.
type upstream struct {
	addr  intercept.Address
	tls   *tls.Config
	stats *intercept.Stats

	mu     sync.Mutex // guards what follows
	probed time.Time
	result error
}

func newUpstream(o proxyOptions, stats *intercept.Stats) (*upstream, error) {
	addr, err := intercept.ParseAddress(o.upstream)
	if err != nil {
		return nil, err
	}
	u := &upstream{addr: addr, stats: stats}
	if o.upstreamTLS || o.ca != "" || o.serverName != "" || o.cert != "" {
		u.tls, err = tlsConfig(o, addr)
	}
	return u, err
}

func tlsConfig(o proxyOptions, addr intercept.Address) (*tls.Config, error) {
	c := &tls.Config{ServerName: o.serverName, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	if c.ServerName == "" && addr.Network == "tcp" {
		c.ServerName, _, _ = net.SplitHostPort(addr.Addr) // was parsed before
	}
	if c.ServerName == "" {
		return nil, Usagef("--upstream-server-name istiod.istio-system.svc", "the name in the certificate of %s is not known", addr)
	}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, certificateFailure(o.ca, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, certificateFailure(o.ca, errors.New("there is no PEM certificate in it"))
		}
	}
	if o.cert == "" {
		return c, nil
	}
	if _, err := tls.LoadX509KeyPair(o.cert, o.key); err != nil {
		return nil, certificateFailure(o.cert, err)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		return &pair, err
	}
	return c, nil
}

func certificateFailure(path string, err error) error {
	e := Fail(CodeCertificate, err.Error(), "a PEM file that this user may read", "cannot use the certificate %s", path)
	e.Err = err
	return e
}

// probe connects once.
func (u *upstream) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	c, err := u.addr.Dial(ctx, u.tls)
	if err == nil {
		err = c.Close()
	}
	return err
}

// ready says whether the control plane could be reached lately: by a connection
// of Envoy's, or else by a probe.
func (u *upstream) ready(ctx context.Context) error {
	worked, failed := time.Unix(0, u.stats.DialedAt.Load()), time.Unix(0, u.stats.DialFailedAt.Load())
	if worked.After(failed) && time.Since(worked) < freshTime {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.probed) > probeTime {
		err := u.probe(ctx)
		if ctx.Err() != nil { // who asked is gone: that says nothing to the next one
			return err
		}
		u.result, u.probed = err, time.Now()
	}
	return u.result
}
