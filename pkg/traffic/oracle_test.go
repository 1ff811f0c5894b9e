package traffic_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const oracleDir = "../../test/oracle"

// observation is what a live Envoy did with a probe.
type observation struct {
	Outcome string `json:"outcome"`
	Reached string `json:"reached"`
	HTTP    int    `json:"http"`
	Log     struct {
		Cluster string `json:"cluster"`
		Flags   string `json:"flags"`
		Dst     string `json:"dl"`
	} `json:"log"`
}

// foreign reports that the log line is that of another probe: where a probe left
// none in time, the next one in the log was taken.
func (o observation) foreign(dst string) bool { return o.Log.Dst != "" && o.Log.Dst != dst }

// oracleCase is one line of cases.jsonl.
type oracleCase struct {
	Dst      string        `json:"dst"`
	Src      string        `json:"src"`
	Signal   xds.Signal    `json:"signal"`
	Observed observation   `json:"observed"`
	Set      []observation `json:"observed_set"`
	Live     bool          `json:"live"`
	Step     int           `json:"step"`
	Note     string        `json:"note"`
}

// readAll reads a file, gzipped or not.
func readAll(t testing.TB, path string) []byte {
	t.Helper()
	b, err := tryRead(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tryRead(path string) ([]byte, error) {
	if b, err := os.ReadFile(path); err == nil {
		return b, nil
	}
	f, err := os.Open(path + ".gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func readCases(t testing.TB, path string) []oracleCase {
	t.Helper()
	var out []oracleCase
	s := bufio.NewScanner(strings.NewReader(string(readAll(t, path))))
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		var c oracleCase
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if c.Signal.Kind == "raw" {
			c.Signal.Kind = xds.Bytes
		}
		if c.Src == "" {
			c.Src = "10.0.0.9"
			if strings.HasPrefix(c.Dst, "[") {
				c.Src = "fd00::9"
			}
		}
		out = append(out, c)
	}
	return out
}

// dumpView compiles a config_dump.
func dumpView(t testing.TB, b []byte) (*traffic.Engine, *traffic.View) {
	t.Helper()
	d, err := configdump.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[xds.Digest][]byte{}
	for _, x := range d.Bodies {
		bodies[x.Digest] = x.Bytes
	}
	e := traffic.NewEngine(decode.New(func(d xds.Digest) ([]byte, bool) { b, ok := bodies[d]; return b, ok }, 0))
	fold := state.New(e.Deps)
	for _, r := range d.Records {
		fold.Apply(r)
	}
	sv, ok := fold.View(d.Sidecar)
	if !ok {
		t.Fatalf("no sidecar %v", d.Sidecar)
	}
	return e, e.View(sv.Active, traffic.Env{Node: d.Node, Istio: d.Sidecar.Istio(), Static: d.Static, Resolved: d.Resolved, Lost4: d.Lost4})
}

type grade int

const (
	right grade = iota
	unknown
	wrong
	skipped
)

// judge compares a verdict with one observation, by the rules of the oracle's README.
func judge(o observation, v xds.Verdict) grade {
	if v.Kind == xds.Unknown {
		return unknown
	}
	names := []string{v.Cluster}
	for _, c := range v.Clusters {
		names = append(names, c.Name)
	}
	switch v.Kind {
	case xds.Passthrough, xds.Service, xds.NoEndpoints:
		if o.Log.Cluster != "" && !slices.Contains(names, o.Log.Cluster) {
			return wrong
		}
	}
	if upstreamDid(o, v) {
		return right
	}
	return outcome(o, v)
}

// upstreamDid reports what Envoy's log (its cluster is compared already) says the
// upstream did: it reset the connection, it does not speak HTTP, or a name did
// not resolve. None of this is in a configuration.
func upstreamDid(o observation, v xds.Verdict) bool {
	if v.Kind != xds.Passthrough && v.Kind != xds.Service {
		return false
	}
	byName := v.Target == "dns" || v.Target == "dynamic"
	switch {
	case o.Outcome == "http" && o.HTTP == 400 && !slices.Contains(v.Path, "http_connection_manager"):
		return true // only the upstream can have said it
	case o.Log.Cluster == "":
		return false
	case o.Outcome == "closed" && byName && o.Log.Flags == "UH":
		return true
	}
	return slices.ContainsFunc([]string{"UR", "UPE", "UF", "UC"}, func(f string) bool { return strings.Contains(o.Log.Flags, f) })
}

func ok(b bool) grade {
	if b {
		return right
	}
	return wrong
}

func outcome(o observation, v xds.Verdict) grade {
	switch o.Outcome {
	case "reached":
		return reached(o, v)
	case "closed":
		return ok(slices.Contains([]xds.VerdictKind{xds.NoEndpoints, xds.NoCluster, xds.NoChain, xds.Blocked}, v.Kind))
	case "hang":
		return ok(v.Kind == xds.Stall)
	case "refused":
		return ok(v.Kind == xds.Refused)
	case "http":
		return httpOutcome(o, v)
	}
	return skipped
}

func reached(o observation, v xds.Verdict) grade {
	if v.Kind != xds.Passthrough && v.Kind != xds.Service && v.Kind != xds.Tunnel {
		return wrong
	}
	_, port, _ := strings.Cut(o.Reached[strings.LastIndexByte(o.Reached, ']')+1:], ":")
	for _, e := range v.Endpoints {
		if e.Address == o.Reached {
			return right
		}
		if (v.Target == "dns" || v.Target == "dynamic") && strings.HasPrefix(o.Reached, "198.19.") && strings.HasSuffix(e.Address, ":"+port) {
			return right
		}
	}
	return ok(len(v.Clusters) > 0 && anyDNS(v, o.Reached))
}

func anyDNS(v xds.Verdict, addr string) bool {
	return strings.HasPrefix(addr, "198.19.") && v.Target == "dns"
}

func httpOutcome(o observation, v xds.Verdict) grade {
	switch v.Kind {
	case xds.NoEndpoints, xds.NoCluster:
		return ok(o.HTTP == 503)
	case xds.Blocked:
		return ok(o.HTTP == 502)
	case xds.NoRoute:
		return ok(o.HTTP == 404)
	case xds.LocalReply:
		return ok(o.HTTP == v.Status)
	case xds.Service:
		// A name that does not resolve is not in the configuration.
		return ok(o.HTTP == 503 && (v.Target == "dns" || v.Target == "dynamic"))
	}
	return wrong
}

// gradeCase takes a set of outcomes for random balancing: all must agree.
func gradeCase(c oracleCase, v xds.Verdict) grade {
	if c.Observed.foreign(c.Dst) {
		c.Observed.Log.Cluster = ""
	}
	for i := range c.Set {
		if c.Set[i].foreign(c.Dst) {
			c.Set[i].Log.Cluster = ""
		}
	}
	if c.Observed.Outcome != "set" {
		return judge(c.Observed, v)
	}
	worst := right
	for _, o := range c.Set {
		g := judge(o, v)
		if g != skipped && g > worst {
			worst = g
		}
	}
	return worst
}

type tally [4]int

func (n tally) String() string {
	return fmt.Sprintf("right %d unknown %d wrong %d skipped %d", n[right], n[unknown], n[wrong], n[skipped])
}

func TestOracle(t *testing.T) {
	dirs, err := filepath.Glob(oracleDir + "/*/cases.jsonl*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no oracle cases: %v", err)
	}
	var all tally
	for _, p := range dirs {
		dir := filepath.Dir(p)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			n := runOracle(t, dir)
			t.Logf("%s: %s", filepath.Base(dir), n)
			for i := range n {
				all[i] += n[i]
			}
		})
	}
	t.Logf("all: %s", all)
	if all[unknown]*100 > all[right]+all[unknown] {
		t.Errorf("more than 1 %% unknown: %s", all)
	}
}

func runOracle(t *testing.T, dir string) tally {
	var n tally
	views := map[string]*traffic.View{}
	for _, c := range readCases(t, filepath.Join(dir, "cases.jsonl")) {
		if c.Live {
			continue
		}
		stem := "config_dump.json"
		if strings.HasPrefix(filepath.Base(dir), "time-") {
			stem = fmt.Sprintf("config_dump.%02d.json", c.Step)
		}
		if views[stem] == nil {
			_, views[stem] = dumpView(t, readAll(t, filepath.Join(dir, stem)))
		}
		v := views[stem].Resolve(netip.MustParseAddrPort(c.Dst), netip.MustParseAddr(c.Src), c.Signal)
		g := gradeCase(c, v)
		n[g]++
		report(t, n, g, c, v)
	}
	return n
}

func report(t *testing.T, n tally, g grade, c oracleCase, v xds.Verdict) {
	t.Helper()
	if g == wrong {
		if n[wrong] <= 15 {
			t.Errorf("wrong: %s from %s %+v (%s): Envoy %+v, we %s %s cluster %q %v %v endpoints %v", c.Dst, c.Src, c.Signal, c.Note, c.Observed, v.Kind, v.Reason, v.Cluster, v.Clusters, v.Path, v.Endpoints)
		} else {
			t.Fail()
		}
	}
	if g == unknown && n[unknown] <= 5 {
		t.Logf("unknown: %s %+v (%s): %s %v", c.Dst, c.Signal, c.Note, v.Reason, v.Path)
	}
}
