package cli

import (
	"path"

	"github.com/xdsproxy/xdsproxy/pkg/intercept"
)

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
	case (o.listenCert == "") != (o.listenKey == ""):
		return Usagef("give both", "--listen-cert and --listen-key go together")
	case o.clientCA != "" && o.listenCert == "":
		return Usagef("--listen-cert FILE --listen-key FILE", "--listen-client-ca without TLS: --listen-cert is missing")
	case len(o.clientNames) > 0 && o.clientCA == "":
		return Usagef("--listen-client-ca FILE", "--listen-client-name without anyone to vouch for the names: --listen-client-ca is missing")
	case o.eventsFile != "" && o.eventsStdout:
		return Usagef("one of them", "--events-file and --events-stdout exclude each other")
	case o.relayOnly && o.judged():
		return Usagef("leave out --relay-only", "without recording there are no events")
	}
	for _, n := range o.clientNames {
		if _, err := path.Match(n, ""); err != nil {
			return Usagef("spiffe://cluster.local/ns/shop/sa/*", "--listen-client-name %s: %v", n, err)
		}
	}
	if err := o.checkAdmin(); err != nil || o.insecure {
		return err
	}
	return o.checkListen(listen)
}

// checkListen refuses to let others read along, or speak in our name.
func (o *proxyOptions) checkListen(listen intercept.Address) error {
	switch {
	case !listen.Loopback() && o.listenCert == "":
		return Fail(CodeInsecureListen, "others could read and change the configuration on the way: there is no TLS on this side",
			"a loopback address or a Unix socket; or --listen-cert and --listen-key; or --insecure-listen", "refused to listen on %s in the clear", listen)
	case o.cert != "" && listen.Network == "tcp" && o.clientCA == "":
		return Fail(CodeInsecureListen, "whoever can connect would speak to the control plane with the identity of "+o.cert,
			"a Unix socket, which is for this user alone; or --listen-client-ca; or --insecure-listen", "refused to listen on %s with a client certificate", listen)
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
