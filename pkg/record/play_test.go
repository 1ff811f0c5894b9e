package record_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// A play is a list of lines that say what was seen on the wire:
//
//	STREAM open [delta|sotw|METHOD] [md=KEY:VALUE]
//	STREAM req TYPE [node=ID[/CLUSTER[/MESH]]] [nonce=N] [v=VERSION] [names=a,b] [un=a,b] [has=a,b] [err=TEXT]
//	STREAM push TYPE NONCE [v=VERSION] [NAME=BODY | NAME=(heartbeat) | -NAME]...
//	STREAM close | STREAM gap REASON | STREAM junk req|push | advance DURATION | fail | heal
//
// and what comes out is one line per record.
type play struct {
	t       *testing.T
	log     *flaky
	rec     *record.Recorder
	now     time.Time
	variant map[uint64]string
	errs    int
}

// flaky is a Log that fails on demand.
type flaky struct {
	record.Memory
	down bool
}

func (f *flaky) Append(recs []xds.Record, bodies []xds.Body) error {
	if f.down {
		return fmt.Errorf("no space left")
	}
	return f.Memory.Append(recs, bodies)
}

var types = map[string]string{"LDS": xds.ListenerType, "CDS": xds.ClusterType, "EDS": xds.EndpointType, "RDS": xds.RouteType, "NDS": xds.NameTableType, "": ""}

func newPlay(t *testing.T, cfg record.Config) *play {
	p := &play{t: t, log: &flaky{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), variant: map[uint64]string{}}
	cfg.Log = p.log
	var err error
	if p.rec, err = record.New(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *play) run(script string) {
	p.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			p.line(line)
		}
	}
}

func (p *play) line(line string) {
	p.t.Helper()
	w := strings.Fields(line)
	p.now = p.now.Add(time.Millisecond)
	var err error
	switch w[0] {
	case "fail", "heal":
		p.log.down = w[0] == "fail"
	case "clock":
		d, _ := time.ParseDuration(w[1])
		p.now = p.now.Add(d)
	case "advance":
		d, _ := time.ParseDuration(w[1])
		p.now = p.now.Add(d)
		err = p.rec.Advance(p.now)
	case "end":
		err = p.rec.Close()
	default:
		err = p.rec.Sight(p.sighting(w, line))
	}
	if err != nil {
		p.errs++
		if !p.log.down {
			p.t.Fatalf("%s: %v", line, err)
		}
	}
}

func (p *play) sighting(w []string, line string) xds.Sighting {
	n, err := strconv.ParseUint(w[0], 10, 64)
	if err != nil {
		p.t.Fatalf("%q: no such line", line)
	}
	s := xds.Sighting{Time: p.now, Stream: n, Conn: 1}
	switch w[1] {
	case "open":
		p.open(&s, w[2:])
	case "close":
		s.Kind, s.Close = xds.SawClose, &xds.Close{By: "server", Code: "Unavailable"}
	case "gap":
		s.Kind, s.Reason = xds.SawGap, strings.Join(w[2:], " ")
	case "req":
		s.Kind, s.Msg = xds.SawRequest, p.request(p.variant[n] == "delta", w[2:])
	case "push":
		s.Kind, s.Msg = xds.SawResponse, p.push(p.variant[n] == "delta", w[2:])
	case "junk":
		s.Kind, s.Msg = xds.SawRequest, &xds.Message{Envelope: []byte{0x0a, 0xff}}
		if w[2] == "push" {
			s.Kind = xds.SawResponse
		}
	default:
		p.t.Fatalf("%q: no such line", line)
	}
	return s
}

func (p *play) open(s *xds.Sighting, w []string) {
	kind := "sotw"
	if len(w) > 0 {
		kind = w[0]
	}
	p.variant[s.Stream] = kind
	m := "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
	switch {
	case kind == "delta":
		m = strings.Replace(m, "Stream", "Delta", 1)
	case strings.HasPrefix(kind, "/"):
		m = kind
	}
	s.Kind, s.Open = xds.SawOpen, &xds.Open{Method: m, Conn: 1}
}

func str(b []byte, num int, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, protowire.Number(num), protowire.BytesType), s)
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func node(s string) []byte {
	parts := append(strings.Split(s, "/"), "", "")
	var b []byte
	if parts[0] != "" {
		b = str(b, 1, parts[0])
	}
	if parts[1] != "" {
		b = str(b, 2, parts[1])
	}
	if parts[2] != "" {
		value := str(nil, 3, parts[2])
		entry := str(str(nil, 1, "CLUSTER_ID"), 2, string(value))
		b = str(b, 3, string(str(nil, 1, string(entry))))
	}
	return b
}

func (p *play) request(delta bool, w []string) *xds.Message {
	num := map[string]int{"v": 1, "node": 2, "names": 3, "type": 4, "nonce": 5, "err": 6}
	if delta {
		num = map[string]int{"node": 1, "type": 2, "names": 3, "un": 4, "has": 5, "nonce": 6, "err": 7}
	}
	b := str(nil, num["type"], types[w[0]])
	for _, kv := range w[1:] {
		k, v, _ := strings.Cut(kv, "=")
		n, ok := num[k]
		if !ok {
			p.t.Fatalf("%q has no place in this request", kv)
		}
		switch k {
		case "node":
			b = str(b, n, string(node(v)))
		case "names", "un":
			for _, x := range words(v) {
				b = str(b, n, x)
			}
		case "has":
			for _, x := range words(v) {
				b = str(b, n, string(str(str(nil, 1, x), 2, "")))
			}
		case "err":
			b = str(b, n, string(str(nil, 2, v)))
		default:
			b = str(b, n, v)
		}
	}
	return &xds.Message{Envelope: b, Size: len(b)}
}

func anyOf(typ, name, content string) []byte {
	value := str(nil, 9999, content)
	if name != "" {
		value = append(str(nil, 1, name), value...)
	}
	return str(str(nil, 1, typ), 2, string(value))
}

func (p *play) push(delta bool, w []string) *xds.Message {
	b := str(nil, 4, types[w[0]])
	if w[1] != "-" { // no nonce
		b = str(b, 5, w[1])
	}
	for _, x := range w[2:] {
		if name, ok := strings.CutPrefix(x, "-"); ok {
			b = str(b, 6, name)
			continue
		}
		name, content, _ := strings.Cut(x, "=")
		if name == "v" {
			b = str(b, 1, content)
			continue
		}
		outer, inner := name, name
		if o, i, ok := strings.Cut(name, ":"); ok { // wrapper's name : its own
			outer, inner = o, i
		}
		b = str(b, 2, string(p.resource(delta, types[w[0]], outer, inner, content)))
	}
	m, err := record.Split(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (p *play) resource(delta bool, typ, outer, inner, content string) []byte {
	if !delta && content != "(heartbeat)" {
		return anyOf(typ, inner, content)
	}
	var b []byte
	if content != "(heartbeat)" {
		b = str(b, 2, string(anyOf(typ, inner, content)))
	}
	if outer != "" {
		b = str(b, 3, outer)
	}
	if !delta {
		return str(str(nil, 1, xds.ResourceWrapper), 2, string(b))
	}
	return b
}

// records lists what was written, of everyone.
func (p *play) records() []xds.Record {
	ids, _ := p.log.Sidecars()
	by := map[uint64]xds.Record{}
	for _, id := range append(ids, xds.Sidecar{}) {
		for r := range p.log.Records(id, 0) {
			by[r.Seq] = r
		}
	}
	out := make([]xds.Record, 0, len(by))
	for n := uint64(1); n <= uint64(len(by)); n++ {
		r, ok := by[n]
		if !ok {
			p.t.Fatalf("record %d is not there", n)
		}
		out = append(out, r)
	}
	return out
}

func (p *play) text() string {
	var b strings.Builder
	for _, r := range p.records() {
		who := "?"
		if !r.Sidecar.IsZero() {
			who = r.Sidecar.FullName()
		}
		fmt.Fprintf(&b, "%s %d %s%s\n", who, r.Stream, r.Kind, p.details(r))
	}
	return b.String()
}

func (p *play) details(r xds.Record) string {
	switch r.Kind {
	case xds.KindRequest:
		return requestText(r.Request)
	case xds.KindAnswer:
		s := fmt.Sprintf(" #%d", r.Answer.Push)
		if r.Answer.NACK() {
			s += " NACK"
		}
		if r.Answer.Repeat > 0 {
			s += fmt.Sprintf(" x%d", r.Answer.Repeat)
		}
		return s + requestText(&r.Answer.Request)
	case xds.KindPush:
		return fmt.Sprintf(" #%d %s %s%s", r.Push.Number, xds.ShortType(r.Push.Type), r.Push.Nonce, p.entries(r.Push))
	case xds.KindGap:
		s := " " + r.Gap.Reason
		if r.Gap.Lost > 0 {
			s += fmt.Sprintf(" (%d lost)", r.Gap.Lost)
		}
		return s
	}
	return ""
}

func requestText(q *xds.Request) string {
	s := " " + xds.ShortType(q.Type)
	if q.Nonce != "" {
		s += " " + q.Nonce
	}
	for _, n := range q.Names {
		s += " +" + n
	}
	for _, n := range q.Unsubscribe {
		s += " -" + n
	}
	if len(q.Initial) > 0 {
		s += fmt.Sprintf(" has%d", len(q.Initial))
	}
	return s
}

func (p *play) entries(push *xds.Push) string {
	s := ""
	for _, e := range push.Resources {
		name := e.Name
		if name == "" {
			name = "(no name)"
		}
		switch e.State {
		case xds.EntryEmpty:
			s += " " + name + "=(heartbeat)"
		case xds.EntryBodyless:
			s += " " + name + "=(bodyless)"
		case xds.EntryTooLarge:
			s += " " + name + "=(too large)"
		default:
			b, ok, _ := p.log.Body(e.Digest)
			if !ok {
				p.t.Fatalf("the body of %s is not there", name)
			}
			s += " " + name + "=" + content(b)
		}
	}
	for _, n := range push.Removed {
		s += " -" + n
	}
	return s
}

// content reads back what anyOf put in.
func content(b []byte) string {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return "?"
		}
		v, _ := protowire.ConsumeBytes(b[n:])
		switch num {
		case 2:
			return content(v)
		case 9999:
			return string(v)
		}
		b = b[n+m:]
	}
	return "?"
}

func (p *play) want(want string) {
	p.t.Helper()
	var lines []string
	for _, l := range strings.Split(want, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	if got, w := p.text(), strings.Join(lines, "\n")+"\n"; got != w {
		p.t.Errorf("got\n%s\nwant\n%s", got, w)
	}
}
