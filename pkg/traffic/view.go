package traffic

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// View answers questions about one snapshot. It compiles what it is asked about,
// when it is asked.
type View struct {
	engine *Engine
	snap   *state.Snapshot
	env    Env
	rules  intercept
	static *staticObjects
	src    [2]netip.Addr // the sidecar's own addresses: IPv4, IPv6

	parent *View // an earlier view whose keys can be carried over, until keys are built
	once   sync.Once
	table  *keyTable

	passOnce sync.Once
	passName string // the cluster that virtualOutbound ends at

	mu     sync.Mutex // guards prints and reach
	prints map[*listener][20]byte
	reach  *reach // nil until somebody asks
}

// staticObjects are the clusters and listeners of the bootstrap.
type staticObjects struct {
	known     bool
	clusters  map[string]*cluster
	resolved  map[string]*assignment // of DNS clusters
	listeners []*listener
}

// newView takes what is the same for all snapshots of a sidecar from prev, if that
// is one of the same environment.
func newView(e *Engine, s *state.Snapshot, env Env, prev *View) *View {
	v := &View{engine: e, snap: s, env: env, prints: map[*listener][20]byte{}}
	if prev != nil && prev.sameEnv(env) {
		v.rules, v.static, v.src, v.parent = prev.rules, prev.static, prev.src, prev.base()
		return v
	}
	v.rules, v.static, v.src = newIntercept(env.Node), newStatic(env), sources(env.Node)
	return v
}

func newStatic(env Env) *staticObjects {
	out := &staticObjects{known: env.Static != nil, clusters: map[string]*cluster{}, resolved: map[string]*assignment{}}
	for name, m := range env.Resolved {
		out.resolved[name] = compileAssignment(m)
	}
	for _, m := range env.Static {
		switch m := m.(type) {
		case *clusterv3.Cluster:
			out.clusters[m.GetName()] = compileCluster(m, xds.Digest{})
		case *listenerv3.Listener:
			out.listeners = append(out.listeners, compileListener(m, xds.Digest{}))
		}
	}
	return out
}

// sameEnv reports whether keys and fingerprints can be carried over to a view with env.
func (v *View) sameEnv(env Env) bool {
	return v.env.Node == env.Node && v.env.Istio == env.Istio && slices.Equal(v.env.Static, env.Static) && maps.Equal(v.env.Resolved, env.Resolved) &&
		slices.Equal(v.env.Lost4, env.Lost4) && (v.env.Lost4 == nil) == (env.Lost4 == nil)
}

// base is v itself where its keys are built, else the view that it starts from:
// chains of views that nobody asked stay short.
func (v *View) base() *View {
	v.engine.mu.Lock()
	defer v.engine.mu.Unlock()
	if v.table == nil && v.parent != nil {
		return v.parent
	}
	return v
}

// keyTable is who owns which address. Where several listeners claim one, all
// are kept; the owner is the first by claim.
type keyTable struct {
	exact  map[netip.AddrPort][]*listener
	byName map[string]*listener
	compat map[uint16][]*listener // "::" with ipv4_compat
	own4   map[uint16]*listener   // as view.wild4, without what "::" listeners add
	view   keyView

	touched map[netip.AddrPort]bool // keys that changed since the table it started from
}

// keys returns the addresses of all listeners.
func (v *View) keys() keyView {
	v.once.Do(v.build)
	return v.table.view
}

func (v *View) build() {
	v.engine.mu.Lock()
	p := v.parent
	if p != nil && p.table == nil {
		p = nil // nobody asked it; it may be asked right now
	}
	v.engine.mu.Unlock()
	var t *keyTable
	if p != nil && v.near(p) {
		t = v.update(p)
	} else {
		p, t = nil, v.scratch()
	}
	v.engine.mu.Lock()
	v.table, v.parent = t, nil
	v.engine.mu.Unlock()
	if p != nil {
		v.carryReach(p)
	}
}

// near reports whether p's snapshot is close enough to start from: at most a
// quarter of the listeners differ.
func (v *View) near(p *View) bool {
	limit, n := max(16, v.snap.Len(xds.ListenerType)/4), 0
	for d := range state.Differences(p.snap, v.snap) {
		if d.Type == xds.ListenerType {
			if n++; n > limit {
				return false
			}
		}
	}
	return true
}

func (v *View) scratch() *keyTable {
	t := &keyTable{exact: map[netip.AddrPort][]*listener{}, byName: map[string]*listener{}, compat: map[uint16][]*listener{},
		touched: map[netip.AddrPort]bool{}}
	for _, l := range v.static.listeners {
		t.add(l.name, l)
	}
	for name, d := range v.snap.All(xds.ListenerType) {
		t.add(name, v.compileNamed(name, d))
	}
	t.finish(v.env.Lost4, keyView{}, nil)
	return t
}

func (v *View) update(p *View) *keyTable {
	old := p.table
	t := old
	for d := range state.Differences(p.snap, v.snap) {
		if d.Type != xds.ListenerType {
			continue
		}
		if t == old {
			t = &keyTable{exact: clone(old.exact), byName: clone(old.byName), compat: clone(old.compat),
				touched: map[netip.AddrPort]bool{}}
		}
		t.remove(d.Name)
		if !d.New.IsZero() {
			t.add(d.Name, v.compileNamed(d.Name, d.New))
		}
	}
	if t != old {
		t.finish(v.env.Lost4, old.view, old.own4)
	}
	return t
}

// compileNamed compiles a listener; one without a body keeps the keys that
// Istio's names tell, so that it spoils no more than it must.
func (v *View) compileNamed(name string, d xds.Digest) *listener {
	if d == xds.Bodyless {
		return v.nameOnly(name)
	}
	l := v.engine.listener(d)
	if l.broken != "" && l.name == "" {
		n := v.nameOnly(name)
		n.broken = l.broken
		return n
	}
	return l
}

func (v *View) nameOnly(name string) *listener {
	l := &listener{name: name, binds: true, broken: "its body was not recorded"}
	if !v.env.Istio {
		return l
	}
	switch name {
	case "virtualInbound":
		l.inbound = true
		l.keys = []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), 15006)}
		return l
	case "virtualOutbound":
		l.restores = true
		l.keys = []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), 15001)}
		return l
	}
	i := strings.LastIndexByte(name, '_')
	if i < 0 {
		return l
	}
	ip, err := netip.ParseAddr(name[:i])
	port, err2 := strconv.ParseUint(name[i+1:], 10, 16)
	if err == nil && err2 == nil {
		l.keys = []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(port))}
	}
	return l
}

func (t *keyTable) add(name string, l *listener) {
	t.byName[name] = l
	for _, k := range l.keys {
		t.exact[k] = append(slices.Clip(t.exact[k]), l)
		t.touched[k] = true
	}
	for _, p := range l.compat {
		t.compat[p] = append(slices.Clip(t.compat[p]), l)
	}
}

func (t *keyTable) remove(name string) {
	l := t.byName[name]
	if l == nil {
		return
	}
	delete(t.byName, name)
	for _, k := range l.keys {
		drop(t.exact, k, l)
		t.touched[k] = true
	}
	for _, p := range l.compat {
		drop(t.compat, p, l)
	}
}

func drop[K comparable](m map[K][]*listener, k K, l *listener) {
	left := slices.DeleteFunc(slices.Clone(m[k]), func(x *listener) bool { return x == l })
	if len(left) == 0 {
		delete(m, k)
		return
	}
	m[k] = left
}

// finish derives the lookups from who claims what, starting from those of an
// earlier table: only the keys that changed are looked at.
func (t *keyTable) finish(lost []uint16, old keyView, own4 map[uint16]*listener) {
	k := keyView{exact: clone(old.exact), wild6: clone(old.wild6)}
	t.own4 = clone(own4)
	for key := range t.touched {
		l := owner(key, t.exact[key])
		switch {
		case !key.Addr().IsUnspecified():
			set(k.exact, key, l)
		case key.Addr().Is4():
			set(t.own4, key.Port(), l)
		default:
			set(k.wild6, key.Port(), l)
		}
	}
	k.wild4 = t.own4
	if len(t.compat) > 0 {
		k.wild4 = clone(t.own4)
	}
	k.vo4, k.vo6 = findVO(k.arrivals(true)), findVO(k.arrivals(false))
	for port, ls := range t.compat {
		if k.wild4[port] == nil {
			if l := compatOwner(port, ls, k, lost); l != nil {
				k.wild4[port] = l
			}
		}
	}
	if k.vo4 == nil {
		k.vo4 = findVO(k.arrivals(true))
	}
	for name, l := range t.byName {
		if l.broken != "" && len(l.keys) == 0 && !l.internal && !l.unix {
			k.unsure = "listener " + name + ": " + l.broken + ", and its address is not known"
		}
	}
	t.view = k
}

// set keeps no nil listeners.
func set[K comparable](m map[K]*listener, k K, l *listener) {
	if l == nil {
		delete(m, k)
		return
	}
	m[k] = l
}

// owner is the listener that has an address. Envoy accepts a second listener on an
// address only in cases that are not modelled; then nothing is said about it.
func owner(key netip.AddrPort, ls []*listener) *listener {
	if len(ls) == 0 {
		return nil
	}
	if !slices.ContainsFunc(ls, func(l *listener) bool { return l != ls[0] }) {
		return ls[0] // one that names the address twice, as Envoy allows
	}
	names := map[string]bool{}
	for _, l := range ls {
		names[l.name] = true
	}
	all := slices.Sorted(maps.Keys(names))
	return &listener{name: all[0], keys: []netip.AddrPort{key}, broken: "the listeners " + strings.Join(all, ", ") + " share the address " + key.String()}
}

// compatOwner says who answers IPv4 on a "::" listener with ipv4_compat, where no
// 0.0.0.0 listener has the port. Where connections are handed over by key, that
// depends on the past: once a 0.0.0.0 listener was there, the key is lost for good
// (source/common/listener_manager/connection_handler_impl.cc).
func compatOwner(port uint16, ls []*listener, k keyView, lost []uint16) *listener {
	l := owner(netip.AddrPortFrom(netip.IPv6Unspecified(), port), ls)
	switch {
	case k.vo4 == nil || l.broken != "" || l == k.vo6:
		return l
	case lost == nil:
		return &listener{name: l.name, broken: "whether IPv4 belongs to it depends on listeners that were there before"}
	case slices.Contains(lost, port):
		return nil
	}
	return l
}

// outboundPort is where Istio's virtualOutbound listens.
const outboundPort = 15001

// arrivals are the listeners that a redirected connection of one family can
// arrive at, by port: redirection leads to the loopback address.
func (k keyView) arrivals(v4 bool) map[uint16]*listener {
	wild, loopback := k.wild6, netip.IPv6Loopback()
	if v4 {
		wild, loopback = k.wild4, netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	out := maps.Clone(wild)
	for key, l := range k.exact {
		if key.Addr() == loopback {
			out[key.Port()] = l
		}
	}
	return out
}

// findVO finds the listener that intercepted connections arrive at.
func findVO(wild map[uint16]*listener) *listener {
	if l := wild[outboundPort]; l != nil && l.restores && !l.inbound {
		return l
	}
	var found *listener
	for _, l := range wild {
		if !l.restores || l.inbound || !l.binds || l.name == "virtualInbound" {
			continue
		}
		if found != nil {
			return &listener{name: found.name, broken: "several listeners restore the original destination"}
		}
		found = l
	}
	return found
}

// internalListener finds a listener by name, for endpoints that name one.
func (v *View) internalListener(name string) *listener {
	v.keys()
	if l := v.table.byName[name]; l != nil && l.internal {
		return l
	}
	return nil
}
