package configdump

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// item is one resource as the dump shows it.
type item struct {
	name, version string
	body          json.RawMessage // nil: the name is all there is
	details       string          // why it was rejected
}

// parts is a dump sorted by what stands where.
type parts struct {
	held     map[string][]item // by type URL: takes traffic
	warming  map[string][]item // accepted, waiting for what it depends on
	failed   map[string][]item // the last version offered, rejected
	there    map[string]bool   // types of which the dump has a section
	static   []item            // static clusters and listeners, their type as name
	resorts  []item            // the same from the bootstrap itself, used if static is empty
	node     json.RawMessage
	version  string // newest version_info of a section
	newest   time.Time
	draining []string
	drained  []item // listeners that drain, in the version that does
	warnings []string
}

func (p *parts) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// fields is a JSON object with its keys in one spelling: Envoy writes
// version_info, tools that print a dump again write versionInfo.
type fields map[string]json.RawMessage

func (f *fields) UnmarshalJSON(b []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	*f = make(fields, len(m))
	for k, v := range m {
		(*f)[strings.ToLower(strings.ReplaceAll(k, "_", ""))] = v
	}
	return nil
}

// text is the string under key, "" if there is none.
func (f fields) text(key string) string {
	var s string
	if json.Unmarshal(f[key], &s) != nil {
		return ""
	}
	return s
}

// list is the array of objects under key; entries that are no objects are left out.
func (f fields) list(key string) []fields {
	var raws []json.RawMessage
	if json.Unmarshal(f[key], &raws) != nil {
		return nil
	}
	out := make([]fields, 0, len(raws))
	for _, raw := range raws {
		var e fields
		if json.Unmarshal(raw, &e) == nil {
			out = append(out, e)
		}
	}
	return out
}

// section is a list inside a dump: the type of its entries and the field that
// holds the resource. envoy/admin/v3/config_dump.proto and
// config_dump_shared.proto name them; the last ones are of admin/v2alpha.
type section struct {
	typ, field string
	add        func(*parts, section, fields)
}

var sections = map[string]section{
	"dynamicactiveclusters":      {xds.ClusterType, "cluster", (*parts).hold},
	"dynamicwarmingclusters":     {xds.ClusterType, "cluster", (*parts).warm},
	"staticclusters":             {xds.ClusterType, "cluster", (*parts).addStatic},
	"dynamiclisteners":           {xds.ListenerType, "listener", (*parts).listener},
	"staticlisteners":            {xds.ListenerType, "listener", (*parts).addStatic},
	"dynamicrouteconfigs":        {xds.RouteType, "routeconfig", (*parts).hold},
	"dynamicscopedrouteconfigs":  {xds.ScopedRouteType, "scopedrouteconfigs", (*parts).scopes},
	"dynamicendpointconfigs":     {xds.EndpointType, "endpointconfig", (*parts).hold},
	"staticendpointconfigs":      {xds.EndpointType, "endpointconfig", (*parts).hold},
	"ecdsfilters":                {xds.ExtensionType, "ecdsfilter", (*parts).hold},
	"dynamicactivesecrets":       {xds.SecretType, "", (*parts).secret},
	"dynamicactivelisteners":     {xds.ListenerType, "listener", (*parts).hold},
	"dynamicwarminglisteners":    {xds.ListenerType, "listener", (*parts).warm},
	"dynamicdraininglisteners":   {xds.ListenerType, "listener", (*parts).drain},
	"dynamicactiveroutes":        {xds.RouteType, "routeconfig", (*parts).hold},
	"dynamicactivescopedrouting": {xds.ScopedRouteType, "scopedrouteconfigs", (*parts).scopes},
}

// kinds are the messages of "configs" by the last words of their type URL: whole
// sections with the type that they tell about, and the single entries that
// /config_dump?resource= gives, with the section they stand for.
var kinds = map[string]struct{ typ, section string }{
	"BootstrapConfigDump":    {},
	"ClustersConfigDump":     {typ: xds.ClusterType},
	"ListenersConfigDump":    {typ: xds.ListenerType},
	"RoutesConfigDump":       {typ: xds.RouteType},
	"ScopedRoutesConfigDump": {typ: xds.ScopedRouteType},
	"EndpointsConfigDump":    {typ: xds.EndpointType},
	"EcdsConfigDump":         {typ: xds.ExtensionType},
	"SecretsConfigDump":      {typ: xds.SecretType},

	"ClustersConfigDump.StaticCluster":                 {section: "staticclusters"},
	"ClustersConfigDump.DynamicCluster":                {section: "dynamicactiveclusters"},
	"ListenersConfigDump.StaticListener":               {section: "staticlisteners"},
	"ListenersConfigDump.DynamicListener":              {section: "dynamiclisteners"},
	"RoutesConfigDump.DynamicRouteConfig":              {section: "dynamicrouteconfigs"},
	"ScopedRoutesConfigDump.DynamicScopedRouteConfigs": {section: "dynamicscopedrouteconfigs"},
	"EndpointsConfigDump.DynamicEndpointConfig":        {section: "dynamicendpointconfigs"},
	"EndpointsConfigDump.StaticEndpointConfig":         {section: "staticendpointconfigs"},
	"EcdsConfigDump.EcdsFilterConfig":                  {section: "ecdsfilters"},
	"SecretsConfigDump.DynamicSecret":                  {section: "dynamicactivesecrets"},
}

// config sorts one entry of "configs" and says whether it is one of Envoy's.
func (p *parts) config(raw json.RawMessage) (bool, error) {
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil {
		return false, fmt.Errorf("%w: %w", ErrNotDump, err)
	}
	_, last, ok := strings.Cut(f.text("@type"), "/envoy.admin.")
	if !ok {
		return false, nil
	}
	_, last, _ = strings.Cut(last, ".") // v3, v2alpha
	kind, ok := kinds[last]
	switch {
	case !ok:
		p.warn("%s is not read", f.text("@type"))
	case kind.section != "":
		s := sections[kind.section]
		s.add(p, s, f)
	default:
		p.whole(kind.typ, f)
	}
	return true, nil
}

func (p *parts) whole(typ string, f fields) {
	p.there[typ] = true
	p.version = max(p.version, f.text("versioninfo"))
	for _, key := range slices.Sorted(maps.Keys(f)) {
		s, ok := sections[key]
		if !ok {
			continue
		}
		for _, e := range f.list(key) {
			s.add(p, s, e)
		}
	}
	if boot, ok := f["bootstrap"]; ok {
		p.bootstrap(boot)
	}
}

func (p *parts) bootstrap(raw json.RawMessage) {
	var boot, static fields
	if json.Unmarshal(raw, &boot) != nil {
		p.warn("the bootstrap cannot be read")
		return
	}
	p.node = boot["node"]
	if json.Unmarshal(boot["staticresources"], &static) != nil {
		return
	}
	p.resort(xds.ClusterType, static["clusters"])
	p.resort(xds.ListenerType, static["listeners"])
}

func (p *parts) resort(typ string, list json.RawMessage) {
	var raws []json.RawMessage
	if json.Unmarshal(list, &raws) != nil {
		return
	}
	for _, body := range raws {
		p.resorts = append(p.resorts, item{name: typ, body: body})
	}
}
