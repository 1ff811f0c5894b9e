package traffic

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// fingerprint covers a listener and everything that its verdicts depend on in
// this view, but for what it gets connections through (gates): equal fingerprints
// mean equal verdicts. Endpoints that move inside a usable cluster do not show.
func (v *View) fingerprint(l *listener) [20]byte {
	if l == nil {
		return [20]byte{}
	}
	v.keys()
	v.mu.Lock()
	p, ok := v.prints[l]
	v.mu.Unlock()
	if ok {
		return p
	}
	p = v.print(l)
	v.mu.Lock()
	v.prints[l] = p
	v.mu.Unlock()
	return p
}

// printer hashes what verdicts depend on, each thing once.
type printer struct {
	v    *View
	h    hash.Hash
	seen map[string]bool
}

func (v *View) print(l *listener) [20]byte {
	p := &printer{v: v, h: sha256.New(), seen: map[string]bool{}}
	p.listener(l)
	return [20]byte(p.h.Sum(nil)[:20])
}

func (p *printer) word(s string) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(s)))
	p.h.Write(n[:])
	p.h.Write([]byte(s))
}

func (p *printer) listener(l *listener) {
	p.word(l.name)
	p.h.Write(l.digest[:])
	p.word(l.broken)
	for _, r := range l.routes {
		d, _ := p.v.snap.Lookup(xds.RouteType, r)
		p.word(r)
		p.h.Write(d[:])
		if d.IsZero() || d == xds.Bodyless {
			continue
		}
		rc := p.v.engine.routeConfig(d)
		p.clusters(rc.clusters)
		p.any(rc.dynamic)
	}
	p.clusters(l.clusters)
	p.any(l.dynamic)
}

// any covers every cluster, for listeners that take names from the client.
func (p *printer) any(dynamic bool) {
	if !dynamic || p.seen["*"] {
		return
	}
	p.seen["*"] = true
	for name := range p.v.snap.All(xds.ClusterType) {
		p.cluster(name)
	}
}

func (p *printer) clusters(names []string) {
	for _, n := range names {
		p.cluster(n)
	}
}

// cluster hashes a cluster's bytes and what its endpoints come to.
func (p *printer) cluster(name string) {
	if p.seen[name] {
		return
	}
	p.seen[name] = true
	d, _ := p.v.snap.Lookup(xds.ClusterType, name)
	p.word(name)
	p.h.Write(d[:])
	if name == p.v.catchAll() {
		p.word("catch-all")
	}
	c := p.v.cluster(name)
	if c == nil {
		return
	}
	p.endpoints(c)
	p.clusters(c.members)
}

// endpoints: the verdict without the addresses; internal listeners in full.
func (p *printer) endpoints(c *cluster) {
	at := p.v.standsAt(c)
	p.word(fmt.Sprintf("%q %q %q %d %q", at.why, at.tcp, at.http, at.standing, at.kinds))
	if at.whole == nil {
		return
	}
	p.word(fmt.Sprintf("%d %q", at.whole.standing(), at.whole.kinds()))
	for _, h := range at.whole.hosts() {
		p.word(h.internal)
		p.word(h.peer)
		p.word(healthNames[h.health])
		if l := p.v.internalListener(h.internal); l != nil && !p.seen["listener "+h.internal] {
			p.seen["listener "+h.internal] = true
			p.listener(l)
		}
	}
}

// internal reports that some endpoint is a listener.
func (a *assignment) internal() bool {
	return slices.ContainsFunc(a.hosts(), func(h host) bool { return h.internal != "" })
}

func (a *assignment) hosts() []host {
	var out []host
	for _, p := range a.priorities {
		for _, l := range p.localities {
			out = append(out, l.hosts...)
		}
	}
	return out
}

// meets reports that one of the changed names stands in a sorted list.
func meets(sorted []string, changed map[string]bool) bool {
	if len(sorted) < len(changed) {
		return slices.ContainsFunc(sorted, func(name string) bool { return changed[name] })
	}
	for name := range changed {
		if _, ok := slices.BinarySearch(sorted, name); ok {
			return true
		}
	}
	return false
}
