package judge

import (
	"net/netip"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The times after which something standing is worth another word. All of them
// are differences of record times.
const (
	// DeadAfter is how long a destination may be without endpoints, where only
	// endpoints changed, before that is no longer taken for a rollout.
	DeadAfter = time.Minute
	// FlapWindow is the time in which FlapMoves moves between the same two
	// sides are a flap, and in which one flap is told once.
	FlapWindow = 10 * time.Minute
	// FlapMoves is two full round trips.
	FlapMoves = 4
)

// pending is an event that is told again, as high, when it still stands.
type pending struct {
	event xds.Event
	dst   netip.AddrPort
	sig   xds.Signal
	after xds.Verdict
	since time.Time
}

// swing is one move of the traffic of some ports between two sides.
type swing struct {
	key string
	to  string // the side it went to
	at  time.Time
}

// flapTold remembers that a flap was told.
type flapTold struct {
	key string
	at  time.Time
}

// Next is what has to be remembered after Judge returned evs for in. It is to
// be called once per group, also when evs is empty.
func Next(in Input, evs []xds.Event) Memory {
	now := in.groupTime()
	m := Memory{
		dead: slices.Clone(stillDead(in.Memory.dead, in.New, in.Node.IP)),
		seen: recentSwings(in.Memory.seen, now),
		told: recentTold(in.Memory.told, now),
		gone: stillGone(in.Memory.gone, evs),
	}
	m.dead = append(m.dead, in.pendings(evs)...)
	for _, e := range evs {
		if e.Kind == xds.EvFlap {
			m.told = append(m.told, flapTold{key: swingKey(e), at: e.Time})
		} else if swings(e) {
			m.seen = append(m.seen, swing{key: swingKey(e), to: sideKey(*e.After), at: e.Time})
		}
	}
	return m
}

// Due tells what stands for too long at time now: the event again, with the
// same id, a higher severity and the next revision. v answers for the snapshot
// that is settled now; nil keeps everything.
func Due(m Memory, now time.Time, v View, src netip.Addr) ([]xds.Event, Memory) {
	var out []xds.Event
	var rest []pending
	for _, p := range stillDead(m.dead, v, src) {
		if now.Sub(p.since) < DeadAfter {
			rest = append(rest, p)
			continue
		}
		e := p.event
		e.Severity, e.Revision = xds.High, e.Revision+1
		out = append(out, e)
	}
	m.dead = rest
	return out, m
}

// stillDead drops what has got endpoints again, or goes elsewhere now.
func stillDead(ps []pending, v View, src netip.Addr) []pending {
	if v == nil {
		return ps
	}
	var out []pending
	for _, p := range ps {
		if v.Resolve(p.dst, src, p.sig).Same(p.after) {
			out = append(out, p)
		}
	}
	return out
}

// stillGone keeps the ports that had a listener and have none now.
func stillGone(ports portSet, evs []xds.Event) portSet {
	for _, e := range evs {
		switch {
		case e.Kind == xds.EvDead && gone(e.After.Kind):
			ports = append(slices.Clip(ports), parsePorts(e.Ports)...).normal()
		case e.Kind == xds.EvRevived && gone(e.Before.Kind):
			ports = ports.minus(parsePorts(e.Ports))
		}
	}
	return ports
}

func recentSwings(in []swing, now time.Time) []swing {
	return slices.DeleteFunc(slices.Clone(in), func(s swing) bool { return now.Sub(s.at) > FlapWindow })
}

func recentTold(in []flapTold, now time.Time) []flapTold {
	return slices.DeleteFunc(slices.Clone(in), func(s flapTold) bool { return now.Sub(s.at) > FlapWindow })
}
