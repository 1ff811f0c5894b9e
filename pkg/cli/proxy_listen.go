package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/intercept"
)

// hubBuffer bounds what the kernel holds for a client that does not read. With
// its own bounds a few frozen clients can fill a pod's memory; 64 KiB would cost
// time on every push.
const hubBuffer = 256 << 10

// socketBuffer is for many clients. One sidecar gets what the kernel thinks best.
func (o *proxyOptions) socketBuffer() int {
	if a, err := intercept.ParseAddress(o.listen); o.hub || err == nil && !a.Loopback() {
		return hubBuffer
	}
	return 0
}

// listenTLS is how clients are spoken to, as the files say now; nil: in the clear.
func listenTLS(o proxyOptions, bad func(error)) (func() (*tls.Config, error), error) {
	if o.listenCert == "" {
		return nil, nil
	}
	return reread(bad, func() (*tls.Config, error) {
		pair, err := loadPair(o.listenCert, o.listenKey)
		if err != nil {
			return nil, err
		}
		// No tickets: every connection is checked against the files of today.
		c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
		if o.clientCA == "" {
			return c, nil
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
		if len(o.clientNames) > 0 {
			c.VerifyConnection = admit(o.clientNames)
		}
		c.ClientCAs, err = loadPool(o.clientCA)
		return c, err
	}, o.listenCert, o.listenKey, o.clientCA)
}

var errNoName = errors.New("the client's certificate has none of --listen-client-name")

// admit lets in who has one of the names.
func admit(allowed []string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		var names []string
		if len(s.PeerCertificates) > 0 {
			names = namesIn(s.PeerCertificates[0])
		}
		for _, a := range allowed {
			if slices.ContainsFunc(names, func(n string) bool { return covers(a, n) }) {
				return nil
			}
		}
		return fmt.Errorf("%w: it says %q", errNoName, names)
	}
}

// namesIn are the names that say who somebody is: spiffe://cluster.local/ns/shop/sa/web.
func namesIn(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}

// covers: a star stands for anything but a slash.
func covers(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
