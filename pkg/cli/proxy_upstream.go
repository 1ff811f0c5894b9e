package cli

import (
	"context"
	"crypto/tls"
	"net"
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
	tls   func() (*tls.Config, error) // nil: in the clear
	stats *intercept.Stats
	stale func(error) // told of files that changed and are no good

	mu     sync.Mutex // guards what follows
	probed time.Time
	result error
}

func newUpstream(o proxyOptions, stats *intercept.Stats) (*upstream, error) {
	addr, err := intercept.ParseAddress(o.upstream)
	if err != nil {
		return nil, err
	}
	u := &upstream{addr: addr, stats: stats, stale: func(error) {}}
	if o.upstreamTLS || o.ca != "" || o.serverName != "" || o.cert != "" {
		u.tls, err = upstreamTLS(o, addr, func(err error) { u.stale(err) })
	}
	return u, err
}

// upstreamTLS is how to speak to the control plane, as its files say now.
func upstreamTLS(o proxyOptions, addr intercept.Address, bad func(error)) (func() (*tls.Config, error), error) {
	name := o.serverName
	if name == "" && addr.Network == "tcp" {
		name, _, _ = net.SplitHostPort(addr.Addr) // was parsed before
	}
	if name == "" {
		return nil, Usagef("--upstream-server-name istiod.istio-system.svc", "the name in the certificate of %s is not known", addr)
	}
	return reread(bad, func() (*tls.Config, error) {
		c := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}
		var err error
		if o.ca != "" {
			if c.RootCAs, err = loadPool(o.ca); err != nil {
				return nil, err
			}
		}
		if o.cert == "" {
			return c, nil
		}
		pair, err := loadPair(o.cert, o.key)
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return c, err
	}, o.ca, o.cert, o.key)
}

// probe connects once.
func (u *upstream) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var config *tls.Config
	if u.tls != nil {
		shared, err := u.tls()
		if err != nil {
			return err
		}
		config = shared.Clone()
		config.NextProtos = []string{"h2"}
	}
	c, err := u.addr.Dial(ctx, config)
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
