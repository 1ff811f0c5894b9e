package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Rejection is a resource whose newest version the client refused: one episode
// per type, name and message, however often the server tries again.
type Rejection struct {
	Type    string // as sent
	Name    string // empty: the whole push was refused
	Message string
	Push    uint64 // the first one
	Since   time.Time
	Count   uint64 // rejections of this episode
}

// episode tells rejections apart: one at a time per resource.
type episode struct{ typ, name string }

// verdict is what an error text says about a push.
type verdict struct {
	names map[string]bool   // resources of the push that the text blames
	twice map[string]bool   // those it blames for standing in the push twice: the first one holds
	text  map[string]string // what it says of each
	cut   bool              // the text ends in the middle
}

// reject reads an error text as Envoy composes it. Listeners are joined by line
// ends (source/common/listener_manager/lds_api.cc), clusters by ", "
// (source/common/upstream/cds_api_helper.cc), each as "name: reason". Names hold
// colons and spaces, so only names of this push are looked for, longest first.
func reject(p *pending, msg string) verdict {
	v := verdict{names: map[string]bool{}, twice: map[string]bool{}, text: map[string]string{}, cut: strings.HasSuffix(strings.TrimSpace(msg), "(truncated)")}
	names := make([]string, 0, len(p.names))
	for _, n := range p.names {
		names = append(names, n.name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for _, part := range parts(msg) {
		i := slices.IndexFunc(names, func(n string) bool { return n != "" && strings.HasPrefix(part, n+": ") })
		if i < 0 || v.names[names[i]] {
			continue
		}
		line, _, _ := strings.Cut(strings.TrimPrefix(part, names[i]+": "), "\n")
		v.names[names[i]], v.text[names[i]] = true, line
		if line == "duplicate listener "+names[i]+" found" || line == "duplicate cluster "+names[i]+" found" {
			v.twice[names[i]] = true
		}
	}
	return v
}

// but returns the push without what the verdict rejects: of a name that stands
// twice the first one stays.
func (p *pending) but(v verdict) *pending {
	c := *p
	c.names = nil
	seen := map[string]bool{}
	for _, n := range p.names {
		if !v.names[n.name] || v.twice[n.name] && !seen[n.name] {
			c.names = append(c.names, n)
		}
		seen[n.name] = true
	}
	return &c
}

// parts lists the places of an error text where a name may begin, each with all
// that follows it.
func parts(msg string) []string {
	var out []string
	for rest := msg; rest != ""; {
		out = append(out, starts(rest)...)
		_, after, ok := strings.Cut(rest, "\n")
		if !ok {
			break
		}
		rest = strings.TrimLeft(after, " ")
	}
	return out
}

// starts looks within one line: at its beginning, after Envoy's preamble, and
// after each comma of a list of clusters.
func starts(rest string) []string {
	out := []string{rest}
	line, _, _ := strings.Cut(rest, "\n")
	for _, pre := range []string{"Error adding/updating listener(s) ", "Error adding/updating cluster(s) "} {
		if i := strings.Index(line, pre); i >= 0 {
			out = append(out, rest[i+len(pre):])
		}
	}
	if !strings.Contains(line, "cluster(s)") {
		return out
	}
	for i := 0; ; {
		j := strings.Index(line[i:], ", ")
		if j < 0 {
			return out
		}
		i += j + 2
		out = append(out, rest[i:])
	}
}

// note opens the episodes of a rejection, or counts on.
func (s *side) note(p *pending, v verdict, r xds.Record, step *Step) {
	text := v.text
	if len(text) == 0 {
		text = map[string]string{"": r.Answer.Error.Message}
		if len(p.names) == 1 {
			text = map[string]string{p.names[0].name: r.Answer.Error.Message}
		}
	}
	for _, name := range sortedKeys(text) {
		s.noteOne(Rejection{Type: r.Answer.Type, Name: name, Message: strings.TrimSpace(text[name]), Push: p.number, Since: r.Time, Count: 1 + r.Answer.Repeat}, step)
	}
}

func (s *side) noteOne(rej Rejection, step *Step) {
	key := episode{xds.Canonical(rej.Type), rej.Name}
	if old, ok := s.rejected[key]; ok && (old.Message == rej.Message || old.Message == "") {
		old.Count += rej.Count
		old.Message = rej.Message
		s.rejected[key] = old
		return
	}
	s.rejected[key] = rej
	step.Rejected = append(step.Rejected, rej)
}

// clear ends the episodes of resources that an accepted push brings or removes,
// and those that blamed nobody.
func (s *side) clear(p *pending, step *Step) {
	if len(s.rejected) == 0 {
		return
	}
	has := p.has()
	for _, n := range p.removed {
		has[n] = true
	}
	var keys []episode
	for k := range s.rejected {
		if k.typ == p.typ && (k.name == "" || p.full || has[k.name]) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b episode) int { return cmp.Compare(a.name, b.name) })
	for _, k := range keys {
		step.Cleared = append(step.Cleared, s.rejected[k])
		delete(s.rejected, k)
	}
}

func (s *side) because(p *pending, why string) string { return fmt.Sprintf("#%d: %s", p.number, why) }

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
