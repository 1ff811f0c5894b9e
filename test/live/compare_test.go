package live

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// step is one update: what was asked, and what was met before and after.
type step struct {
	qs            []question
	before, after []outcome
	old, new      *traffic.View
	shifts        []xds.Shift
	names         names
}

// TestRealEnvoyCompares changes a configuration and asks the same questions before
// and after: a destination is in a cell if and only if its outcome changed, and
// in one only.
func TestRealEnvoyCompares(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	startWitness(t)
	control, ev, count := startEnvoy(t), newEvaluator(), newTally()
	got := &compared{tally: count}
	rapid.Check(t, func(rt *rapid.T) {
		a := configuration(rt)
		b := edited(rt, a)
		s := &step{qs: comparable(questions(rt, *perConfiguration, a, b))}
		dumpA, out := ask(t, control.apply(t, a.all()), s.qs)
		count.dumps = [][]byte{dumpA}
		s.old = ev.view(rt, dumpA)
		s.before = settle(rt, count, s.old, s.qs, out)
		held := hold(s)
		defer held.close()
		dumpB, out := ask(t, control.apply(t, b.all()), s.qs)
		count.dumps = [][]byte{dumpA, dumpB}
		s.new = ev.view(rt, dumpB)
		s.after = settle(rt, count, s.new, s.qs, out)
		s.shifts, s.names = ev.engine.Compare(s.old, s.new), namesIn(dumpA, dumpB)
		for i := range s.qs {
			got.member(rt, s, i)
		}
		got.open(rt, s, held)
	})
	count.report(t)
	t.Logf("compared: %d destinations shifted, %d not, %d shifted without a visible difference, %d not told by their cells alone; open connections: %d kept, %d drained",
		got.shifted, got.same, got.silent, got.vague, got.kept, got.drained)
	if got.shifted == 0 {
		t.Fatal("nothing shifted")
	}
}

// comparable leaves out what a class of signals does not describe: exact first
// flights, several ALPNs, hosts with a port or a last dot (a route configuration
// may strip both), and sources that are not the sidecar's own.
func comparable(qs []question) []question {
	var out []question
	for _, q := range qs {
		if q.sig.Hex != "" {
			q.sig.Hex, q.sig.Pad = "", 0
		}
		q.sig.ALPN = q.sig.ALPN[:min(1, len(q.sig.ALPN))]
		q.sig.Host, _, _ = strings.Cut(strings.TrimSuffix(q.sig.Host, "."), ":")
		q.src = netip.MustParseAddr(podV4)
		if q.dst.Addr().Is6() {
			q.src = netip.MustParseAddr(podV6)
		}
		out = append(out, q)
	}
	return out
}

// settle holds the verdicts against the answers.
func settle(t failer, c *tally, v *traffic.View, qs []question, out []outcome) []outcome {
	for i, q := range qs {
		out[i] = c.check(t, v.Resolve(q.dst, q.src, q.sig), q, out[i])
	}
	return out
}

// compared counts.
type compared struct {
	*tally
	shifted, same, silent, vague, kept, drained int
}

// visible is an outcome as far as it tells where a connection went, the endpoint
// of a cluster left out.
func visible(o outcome) string {
	if c := clusterAt(o.reached); c != "" {
		return c
	}
	return o.String()
}

// within reports that both lead to an aggregate of the same name: its members are
// what endpoints are elsewhere.
func within(before, after xds.Verdict) bool {
	return before.Same(after) && before.Cluster == "svc-aggregate"
}

// member holds one question against the cells.
func (c *compared) member(t failer, s *step, i int) {
	q := s.qs[i]
	before, after := s.old.Resolve(q.dst, q.src, q.sig), s.new.Resolve(q.dst, q.src, q.sig)
	surely, perhaps := 0, 0
	for _, sh := range s.shifts {
		for _, cell := range sh.Cells {
			switch in(cell, s.names, q) {
			case inCell:
				surely++
			case maybe:
				perhaps++
			}
		}
	}
	changed := visible(s.before[i]) != visible(s.after[i]) && !within(before, after) && len(before.Clusters) < 2 && len(after.Clusters) < 2 && before.Kind != xds.Unknown && after.Kind != xds.Unknown
	wrong := ""
	switch {
	case surely > 1:
		wrong = "in several cells"
	case changed && surely+perhaps == 0:
		wrong = "in no cell, and the outcome changed"
	case !changed && surely == 1 && before.Same(after) && before.Kind != xds.Unknown: // what is unknown may have changed
		wrong = "in a cell, and nothing changed"
	case !before.Same(after) && surely+perhaps == 0:
		wrong = "in no cell, and the verdicts differ"
	case perhaps > 0 && surely == 0:
		c.vague++
	case surely == 0:
		c.same++
	case changed:
		c.shifted++
	default:
		c.silent++
	}
	if wrong != "" {
		c.fail(t, fmt.Sprintf("WRONG CELL %s: %s\nbefore: %s; %s\nafter:  %s; %s\ncells: %s", q, wrong, s.before[i], told(before), s.after[i], told(after), cells(s.shifts, q)))
	}
}

// cells shows those that are about the destination's port.
func cells(shifts []xds.Shift, q question) string {
	out := ""
	for _, sh := range shifts {
		for _, c := range sh.Cells {
			if portIn(c.Ports, q.dst.Port()) && addrIn(c.Destinations, q.dst.Addr()) {
				out += fmt.Sprintf("\n  %s %s -> %s %s: %+v", sh.Before.Kind, sh.Before.Cluster, sh.After.Kind, sh.After.Cluster, c)
			}
		}
	}
	return out
}

// heldConns are connections that are open while the configuration changes.
type heldConns struct {
	conns []net.Conn
	at    []int // the question of each
}

// holdable is a first flight that the witness answers and keeps.
var holdable = []byte("\x01\x02HOLD\n")

const maxHeld = 8

// hold opens connections to where plain bytes reach something.
func hold(s *step) *heldConns {
	h := &heldConns{}
	for i, q := range s.qs {
		if q.sig.Kind != xds.Bytes || s.before[i].kind != "reached" || len(h.conns) == maxHeld {
			continue
		}
		c, err := dial(q.dst, q.src)
		if err != nil {
			continue
		}
		_, _ = c.Write(holdable)
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if n, err := c.Read(make([]byte, 256)); n == 0 || err != nil {
			c.Close()
			continue
		}
		h.conns, h.at = append(h.conns, c), append(h.at, i)
	}
	return h
}

func (h *heldConns) close() {
	for _, c := range h.conns {
		c.Close()
	}
}

// drainWait is more than Envoy's drain time here (1 s).
const drainWait = 3 * time.Second

// ended waits, and says which connections were closed by then.
func (h *heldConns) ended() []bool {
	out := make([]bool, len(h.conns))
	var wg sync.WaitGroup
	for i, c := range h.conns {
		wg.Go(func() {
			_ = c.SetReadDeadline(time.Now().Add(drainWait))
			_, err := c.Read(make([]byte, 1))
			out[i] = err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
		})
	}
	wg.Wait()
	return out
}

// open holds what the shifts say about open connections against what became of them.
func (c *compared) open(t failer, s *step, h *heldConns) {
	said := map[int]xds.Connections{}
	for k, i := range h.at {
		for _, sh := range s.shifts {
			for _, cell := range sh.Cells {
				if in(cell, s.names, s.qs[i]) == inCell {
					said[k] = sh.Open
				}
			}
		}
	}
	if len(said) == 0 {
		return
	}
	for k, ended := range h.ended() {
		switch {
		case said[k] == "":
			continue
		case ended != (said[k] == xds.Drained):
			c.fail(t, fmt.Sprintf("WRONG OPEN %s: said to be %s, closed: %v\nbefore: %s", s.qs[h.at[k]], said[k], ended, told(s.old.Resolve(s.qs[h.at[k]].dst, s.qs[h.at[k]].src, s.qs[h.at[k]].sig))))
		case ended:
			c.drained++
		default:
			c.kept++
		}
	}
}
