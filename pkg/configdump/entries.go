package configdump

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// entry reads the resource under s.field of e.
func (p *parts) entry(s section, e fields) item {
	if t, err := time.Parse(time.RFC3339Nano, e.text("lastupdated")); err == nil && t.After(p.newest) {
		p.newest = t
	}
	return item{name: nameOf(e[s.field]), version: e.text("versioninfo"), body: e[s.field]}
}

// nameOf is the name a resource goes by: name, or cluster_name of an assignment.
func nameOf(body json.RawMessage) string {
	if n := firstName(body); n != "" {
		return n
	}
	var f fields
	if json.Unmarshal(body, &f) != nil {
		return ""
	}
	if n := f.text("name"); n != "" {
		return n
	}
	return f.text("clustername")
}

// firstName finds the name without reading all of body: Envoy writes it first,
// behind @type.
func firstName(body json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	for range 2 {
		key, err := dec.Token()
		if err != nil {
			return ""
		}
		val, err := dec.Token()
		text, ok := val.(string)
		if err != nil || !ok {
			return ""
		}
		if key == "name" {
			return text
		}
	}
	return ""
}

func (p *parts) hold(s section, e fields) {
	it := p.entry(s, e)
	if it.body == nil {
		p.warn("%s: an entry without %s", xds.ShortType(s.typ), s.field)
		return
	}
	p.held[s.typ] = append(p.held[s.typ], it)
	p.rejected(s, it.name, e)
}

func (p *parts) warm(s section, e fields) {
	if it := p.entry(s, e); it.body != nil {
		p.warming[s.typ] = append(p.warming[s.typ], it)
	}
}

func (p *parts) drain(s section, e fields) {
	p.draining = append(p.draining, p.entry(s, e).name)
}

func (p *parts) addStatic(s section, e fields) {
	if it := p.entry(s, e); it.body != nil {
		p.static = append(p.static, item{name: s.typ, body: it.body})
	}
}

// listener reads a DynamicListener: up to three states of one name, and the last
// version that was rejected.
func (p *parts) listener(s section, e fields) {
	var states [3]fields
	for i, key := range []string{"activestate", "warmingstate", "drainingstate"} {
		if raw, ok := e[key]; ok && json.Unmarshal(raw, &states[i]) != nil {
			p.warn("listener %s: %s cannot be read", e.text("name"), key)
		}
	}
	if states[0] != nil {
		p.hold(s, states[0])
	}
	if states[1] != nil {
		p.warm(s, states[1])
	}
	if states[2] != nil {
		p.drained = append(p.drained, p.entry(s, states[2]))
	}
	if states[2] != nil && states[0] == nil && states[1] == nil {
		p.draining = append(p.draining, e.text("name"))
	}
	p.rejected(s, e.text("name"), e)
}

// rejected keeps the version that Envoy refused last (envoy.admin.v3.UpdateFailureState).
func (p *parts) rejected(s section, name string, e fields) {
	var f fields
	if raw, ok := e["errorstate"]; !ok || json.Unmarshal(raw, &f) != nil {
		return
	}
	it := item{name: name, version: f.text("versioninfo"), body: f["failedconfiguration"], details: f.text("details")}
	if it.name == "" { // Envoy leaves it out where several versions of one listener failed
		it.name = nameOf(it.body)
	}
	p.failed[s.typ] = append(p.failed[s.typ], it)
}

func (p *parts) scopes(s section, e fields) {
	p.entry(section{}, e)
	var raws []json.RawMessage
	if json.Unmarshal(e[s.field], &raws) != nil {
		return
	}
	for _, body := range raws {
		p.held[s.typ] = append(p.held[s.typ], item{name: nameOf(body), version: e.text("versioninfo"), body: body})
	}
}

// secret keeps the name only: Envoy blanks the content.
func (p *parts) secret(s section, e fields) {
	p.held[s.typ] = append(p.held[s.typ], item{name: e.text("name"), version: e.text("versioninfo")})
}
