package filter

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The event of the incident, as events -o jsonl prints it, cut to what is filtered.
const incident = `{"kind":"dead-capture","severity":"critical","sidecar":"checkout-b7db8cc46-99cx5.shop",
"ports":"3306","cells":[{"ports":"3306","destinations":["0.0.0.0/0"],"except":["10.68.228.107/32"],"signals":null}],
"before":{"kind":"passthrough","cluster":"PassthroughCluster"},
"after":{"kind":"no-endpoints","cluster":"outbound|3306||mysql.demo","listener":"0.0.0.0_3306"},
"owner":{"kind":"ServiceEntry","host":"mysql.demo","namespace":"other"},
"cause":{"object":"ServiceEntry/other/mysql.demo","user":"bob","tool":"kubectl","confidence":"certain"}}`

func TestEventFilters(t *testing.T) {
	var e xds.Event
	if err := json.Unmarshal([]byte(incident), &e); err != nil {
		t.Fatal(err)
	}
	facts := OfEvent(e)
	for text, want := range map[string]bool{
		"":                                     true,
		"kind:dead-capture":                    true,
		"kind:*capture":                        true,
		"kind:capture":                         false,
		"kind:capture,dead-capture":            true,
		"kind:capture kind:dead-capture":       true, // one list
		"not kind:nack":                        true,
		"not kind:*capture":                    false,
		"severity:high..":                      true,
		"severity:..high":                      false,
		"severity:critical":                    true,
		"port:3306":                            true,
		"port:3000..4000":                      true,
		"port:3307..4000":                      false,
		"kind:dead-capture port:80":            false, // keys must all fit
		"kind:dead-capture not port:3306":      false,
		"address:10.10.13.110":                 true,
		"address:10.68.228.107":                false, // excepted
		"address:10.68.228.0/24":               true,
		"address:10.68.228.107..10.68.228.107": false,
		"address:fd00::1":                      false,
		"fqdn:mysql.demo":                      true,
		"fqdn:MYSQL.*":                         true,
		"fqdn:*.shop":                          false,
		"name:0.0.0.0_3306":                    true,
		"name:outbound|*":                      true,
		`name:"outbound|*"`:                    false, // quoted: no glob
		"sidecar:checkout-*":                   true,
		"namespace:shop":                       true,
		"namespace:other":                      false,
		"cause:bob":                            true,
		"cause:ServiceEntry/other/*":           true,
		"cause:alice":                          false,
		"type:lds":                             false, // no rejected resource
	} {
		f, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.Match(facts); got != want {
			t.Errorf("%q chooses the incident: %v, want %v", text, got, want)
		}
	}
}

func TestResourceFilters(t *testing.T) {
	var f Facts
	f.Resource("type.googleapis.com/envoy.api.v2.Listener", "10.68.228.107_3306")
	f.Resource(xds.ClusterType, "outbound|6379||redis.demo")
	for text, want := range map[string]bool{
		"type:lds": true, "type:CDS": true, "type:eds": false,
		"type:type.googleapis.com/envoy.config.listener.v3.Listener": true,
		"port:3306": true, "port:6379": true, "port:1..100": false,
		"address:10.68.0.0/16": true, "address:10.69.0.0/16": false,
		"fqdn:redis.demo": true, "name:*3306": true, "kind:nack": false, "not kind:nack": true,
	} {
		g, err := Parse(text)
		if err != nil || g.Match(f) != want {
			t.Errorf("%q: %v %v, want %v", text, g.Match(f), err, want)
		}
	}
}

func TestSyntaxErrorsSayWhatToWrite(t *testing.T) {
	for text, what := range map[string]string{
		"mysql":              "no key",
		"prt:3306":           "unknown key",
		"port:":              "empty value",
		"port:3306,":         "empty value",
		"port:33o6":          "not a port",
		"port:9..1":          "not a port",
		"address:10.0.0.300": "not an IP",
		"kind:captur":        "dead-capture",
		"severity:loud":      "rising",
		"severity:..":        "rising",
		"not":                "nothing follows",
		"not not kind:nack":  "twice",
		`name:"a`:            "left open",
		`name:a\`:            "left open",
	} {
		_, err := Parse(text)
		var se *SyntaxError
		if !errors.As(err, &se) || !strings.Contains(se.What, what) || se.Try == "" {
			t.Errorf("%q: %v, want %q and something to try", text, err, what)
		}
	}
}

func TestLooks(t *testing.T) {
	for arg, want := range map[string]bool{"port:3306": true, "not": true, "web-1.shop": false, "cluster:7": false, "41": false} {
		if Looks(arg) != want {
			t.Errorf("Looks(%q) = %v", arg, !want)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"*", "a|b", true}, {"a*c", "abc", true}, {"a*c", "abcd", false}, {"a*c*", "abcd", true},
		{"?", "", false}, {"?b", "ab", true}, {`\*`, "*", true}, {`\*`, "a", false}, {"*b*b", "abab", true}, {"a", "ab", false}, {"**", "x", true},
	} {
		if glob(c.pattern, c.s) != c.want {
			t.Errorf("glob(%q, %q) = %v", c.pattern, c.s, !c.want)
		}
	}
}

// What is printed reads as the same filter, and prints the same again.
func TestParsePrintParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := map[string][]string{
			"kind": {"capture", "*capture", "nack"}, "severity": {"high", "low..", "..medium"}, "port": {"1", "3000..4000"},
			"name": {"a", `"b c"`, `\*`, `x\,y`, "outbound|3306||h", `"*"`, `\"`}, "address": {"10.0.0.1", "fd00::/8", "10.0.0.1..10.0.0.9"}, "fqdn": {"A.b", "*"},
		}
		var words []string
		for range rapid.IntRange(0, 6).Draw(t, "clauses") {
			k := rapid.SampledFrom([]string{"kind", "severity", "port", "name", "address", "fqdn"}).Draw(t, "key")
			vs := rapid.SliceOfN(rapid.SampledFrom(values[k]), 1, 3).Draw(t, "values")
			word := k + ":" + strings.Join(vs, ",")
			if rapid.Bool().Draw(t, "not") {
				word = "not " + word
			}
			words = append(words, word)
		}
		checkRoundTrip(t, strings.Join(words, " "), true)
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"kind:nack", `not name:"a b",c\*`, "port:1..2 address:10.0.0.0/8,fd00::1", `name:\\`, "severity:..low", `fqdn:"x\"y"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkRoundTrip(t, s, false) })
}

func checkRoundTrip(t interface{ Fatalf(string, ...any) }, text string, must bool) {
	f, err := Parse(text)
	if err != nil {
		if must {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	again, err := Parse(f.String())
	if err != nil || again.String() != f.String() {
		t.Fatalf("%q prints %q, which reads as %q (%v)", text, f, again, err)
	}
	if len(again.clauses) != len(f.clauses) {
		t.Fatalf("%q: %d clauses, again %d", text, len(f.clauses), len(again.clauses))
	}
	for i, c := range f.clauses {
		for j, v := range c.values {
			if again.clauses[i].values[j].text != v.text {
				t.Fatalf("%q: value %q became %q", text, v.text, again.clauses[i].values[j].text)
			}
		}
	}
	facts := Facts{Names: []string{"a", "*"}, Addresses: []Addresses{{In: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/30")}}}}
	if f.Match(facts) != again.Match(facts) {
		t.Fatalf("%q chooses otherwise when printed as %q", text, f)
	}
}
