package timeline

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Config says what a Walk works with. With Cache and Bodies set, every other field
// may be left at its default.
type Config struct {
	// Cache decodes resources. Default: none; then Differ, Traffic, Deps, Refs
	// and Standing have no default either, and what is nil is left out.
	Cache *decode.Cache
	// Bodies reads the bytes of a node. Default: nodes are not known.
	Bodies func(xds.Digest) ([]byte, bool)
	// Engine is shared with other users of the same Cache. Default: a new one.
	Engine *traffic.Engine
	// Env is what no push tells of the sidecars: the clusters and listeners of
	// their bootstrap, what DNS names had resolved to, lost addresses. Node and
	// Istio are filled in for each sidecar. Default: not known.
	Env traffic.Env
	// Watch are destinations whose shifts are always critical. Default: none.
	Watch []judge.Watch
	// Display names a sidecar in events. Default: Sidecar.Name.
	Display func(xds.Sidecar) string

	// Deps and Refs tell what a resource waits for and what it names. Default:
	// those of Engine.
	Deps state.Deps
	Refs state.Deps
	// Differ tells changes. Default: diff.New(Cache).
	Differ Differ
	// Traffic tells shifts. Default: Engine.
	Traffic Traffic
	// Judge makes events. Default: judge.Judge.
	Judge func(judge.Input) []xds.Event
	// Standing finds what stands captured in a baseline. Default: judge.Standing.
	Standing func(*state.Snapshot, judge.View, judge.Node, judge.PushRef) []judge.Fact
}

// Differ tells what changed between two snapshots. *diff.Differ is one.
type Differ interface {
	Changes(a, b *state.Snapshot) []xds.Change
}

// Traffic answers for snapshots and compares them.
type Traffic interface {
	View(id xds.Sidecar, node *corev3.Node, s *state.Snapshot) judge.View
	Compare(old, new judge.View) []xds.Shift
	Drained(old, new judge.View) []string
}

func (c Config) withDefaults() Config {
	if c.Judge == nil {
		c.Judge = judge.Judge
	}
	if c.Display == nil {
		c.Display = xds.Sidecar.Name
	}
	if c.Cache == nil {
		return c
	}
	if c.Engine == nil {
		c.Engine = traffic.NewEngine(c.Cache)
	}
	if c.Deps == nil {
		c.Deps = c.Engine.Deps
	}
	if c.Refs == nil {
		c.Refs = c.Engine.Refs
	}
	if c.Differ == nil {
		c.Differ = diff.New(c.Cache)
	}
	if c.Traffic == nil {
		c.Traffic = engine{c.Engine, c.Env}
	}
	if c.Standing == nil {
		c.Standing = func(s *state.Snapshot, v judge.View, n judge.Node, at judge.PushRef) []judge.Fact {
			return judge.Standing(s, c.Cache, v, n, at)
		}
	}
	return c
}

// engine is a traffic.Engine as a Traffic.
type engine struct {
	*traffic.Engine
	env traffic.Env
}

func (e engine) View(id xds.Sidecar, node *corev3.Node, s *state.Snapshot) judge.View {
	env := e.env
	env.Node, env.Istio = node, id.Istio()
	return e.Engine.View(s, env)
}

func (e engine) Compare(old, new judge.View) []xds.Shift {
	a, b, ok := both(old, new)
	if !ok {
		return nil
	}
	return e.Engine.Compare(a, b)
}

func (e engine) Drained(old, new judge.View) []string {
	a, b, ok := both(old, new)
	if !ok {
		return nil
	}
	return e.Engine.Drained(a, b)
}

func both(old, new judge.View) (a, b *traffic.View, ok bool) {
	a, okA := old.(*traffic.View)
	b, okB := new.(*traffic.View)
	return a, b, okA && okB
}
