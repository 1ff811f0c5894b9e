package replay

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// earlier waits for the answers that were recorded before the next push. Not for
// ever: a client that accepts everything answers sooner than one that first waits for
// what the next pushes bring.
func (p *Player) earlier(ctx context.Context, pushes []uint64) error {
	for _, n := range pushes {
		r := p.runs[n]
		if r == nil || r.told {
			continue
		}
		p.hub.wait(ctx, lenient+time.Duration(r.step.Push.Size)*perByte, r.done)
		if _, err := p.again(r); err != nil {
			return err
		}
	}
	return p.report(ctx)
}

// How long an answer is waited for before the next push is sent all the same: a while,
// and what it may take a busy machine to take in the push.
const (
	lenient = 700 * time.Millisecond
	perByte = 2 * time.Microsecond
)

// answers waits for the answers to pushes, and tells of them.
func (p *Player) answers(ctx context.Context, pushes []uint64) error {
	for _, n := range pushes {
		r := p.runs[n]
		if r == nil || r.told {
			continue
		}
		if err := p.answer(ctx, r); err != nil {
			return err
		}
	}
	return p.report(ctx)
}

// answer waits for one; what keeps the client from answering is given to it after a
// while, although the recording had another order.
func (p *Player) answer(ctx context.Context, r *run) error {
	if !p.hub.wait(ctx, min(2*time.Second, p.cfg.Patience), r.done) {
		p.hub.supplyAll(true)
		p.hub.wait(ctx, p.cfg.Patience+time.Duration(r.step.Push.Size)*perByte, r.done)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if again, err := p.again(r); again || err != nil {
		if err != nil {
			return err
		}
		return p.answer(ctx, r)
	}
	r.told = true
	return p.verdict(p.line(r))
}

func (r *run) done() bool {
	for _, d := range r.sent {
		if !d.done() {
			return false
		}
	}
	return true
}

// maxAgain bounds how often a push is sent once more: each rejection names at least
// one extension more.
const maxAgain = 40

// again sends a push once more when it was rejected for extensions that are to be
// dropped, and reports whether it did.
func (p *Player) again(r *run) (bool, error) {
	if !p.cfg.Drop || r.again >= maxAgain {
		return false, nil
	}
	p.hub.mu.Lock()
	var names []string
	for _, d := range r.sent {
		names = append(names, lackedBy(d.nack)...)
	}
	p.hub.mu.Unlock()
	if len(names) == 0 || !p.cfg.Bodies.Drop(names...) {
		return false, nil
	}
	if err := p.lack(names); err != nil {
		return false, err
	}
	r.again++
	r.sent = p.hub.push(r.step)
	return true, nil
}

// report tells what was answered meanwhile.
func (p *Player) report(context.Context) error {
	var lines []Line
	p.hub.mu.Lock()
	for _, s := range p.cfg.Plan.Steps {
		if r := p.runs[s.Number()]; r != nil && !r.told && len(r.sent) > 0 && r.done() && !p.retries(r) {
			r.told = true
			lines = append(lines, p.lineLocked(r))
		}
	}
	var open []*delivery
	for _, d := range p.hub.served {
		if !d.done() {
			open = append(open, d)
			continue
		}
		lines = append(lines, Line{Kind: Base, Type: d.typ, Resources: d.resources, Removed: d.removed, Reply: replyOf([]*delivery{d}),
			Message: d.nack, Latency: d.answered.Sub(d.at), Altered: d.altered})
	}
	p.hub.served = open
	p.hub.mu.Unlock()
	for _, l := range lines {
		if err := p.verdict(l); err != nil {
			return err
		}
	}
	return nil
}

// retries reports whether a rejected push will be sent once more.
func (p *Player) retries(r *run) bool {
	return p.cfg.Drop && r.again < maxAgain && slices.ContainsFunc(r.sent, func(d *delivery) bool { return len(lackedBy(d.nack)) > 0 })
}

func (p *Player) line(r *run) Line {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	return p.lineLocked(r)
}

func (p *Player) lineLocked(r *run) Line {
	l := Line{Kind: Pushed, Step: r.step, Type: r.step.Type, Reply: replyOf(r.sent), Recorded: recordedReply(r.step)}
	for _, d := range r.sent {
		l.Resources, l.Removed = max(l.Resources, d.resources), max(l.Removed, d.removed)
		l.Altered = l.Altered || d.altered
		if d.rejected {
			l.Message = d.nack
		}
		if !d.answered.IsZero() {
			l.Latency = max(l.Latency, d.answered.Sub(d.at))
		}
	}
	return l
}

func replyOf(sent []*delivery) Reply {
	if len(sent) == 0 {
		return Unasked
	}
	out := None
	for _, d := range sent {
		switch {
		case d.rejected:
			return NACK
		case !d.answered.IsZero():
			out = ACK
		}
	}
	return out
}

func recordedReply(s *Step) Reply {
	switch {
	case s.Answer == nil:
		return None
	case s.Rejected():
		return NACK
	}
	return ACK
}

// verdict tells a line, and what in it is not as recorded.
func (p *Player) verdict(l Line) error {
	if err := p.tell(l); err != nil {
		return err
	}
	event := l
	switch {
	case l.Reply == NACK && l.Recorded != NACK:
		event.Kind = Rejects
	case l.Reply == ACK && l.Recorded == NACK && !l.Altered:
		event.Kind, event.Message = Vanished, l.Step.Answer.Error.Message
	case l.Reply == None && l.Recorded != None && l.Kind == Pushed:
		event.Kind = Silent
	default:
		return nil
	}
	if err := p.tell(event); err != nil {
		return err
	}
	if event.Kind == Rejects {
		return p.lack(lackedBy(l.Message))
	}
	if event.Kind == Silent {
		return p.waits()
	}
	return nil
}

// waits tells, once, what the client waits for that nothing recorded brings.
func (p *Player) waits() error {
	var names []string
	for typ, ns := range p.hub.lacking() {
		for _, n := range ns {
			if name := xds.ShortType(typ) + " " + n; n != all && !p.waited[name] {
				p.waited[name] = true
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return p.tell(Line{Kind: Waits, Names: names})
}

// settle waits for the end of a group, when step i is its last, and compares.
func (p *Player) settle(ctx context.Context, i int) error {
	steps := p.cfg.Plan.Steps
	s := steps[i]
	last := i == len(steps)-1
	if p.cfg.Compare == nil || !last && (p.cfg.AtEnd || !s.Settled || !strings.HasPrefix(s.Type, xds.TypePrefix+"envoy.")) {
		return nil
	}
	if err := p.rest(ctx, i); err != nil {
		return err
	}
	diffs, err := p.cfg.Compare(ctx, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return p.tell(Line{Kind: Compared, Step: s, Differences: diffs, Err: err})
}

// rest waits for all answers that are still to come up to step i.
func (p *Player) rest(ctx context.Context, i int) error {
	var open []uint64
	for _, s := range p.cfg.Plan.Steps[:i+1] {
		if s.Answer != nil {
			open = append(open, s.Number())
		}
	}
	return p.answers(ctx, open)
}

// finish waits for what is still open at the end of the range.
func (p *Player) finish(ctx context.Context) error {
	if n := len(p.cfg.Plan.Steps); n > 0 {
		if err := p.rest(ctx, n-1); err != nil {
			return err
		}
	}
	for _, s := range p.cfg.Plan.Steps { // those without a recorded answer
		r := p.runs[s.Number()]
		if r == nil || r.told {
			continue
		}
		p.hub.wait(ctx, silence, r.done)
		r.told = true
		if err := p.verdict(p.line(r)); err != nil {
			return err
		}
	}
	return ctx.Err()
}
