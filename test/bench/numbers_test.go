package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var (
	numbers = flag.Bool("numbers", false, "measure and print the table")
	rounds  = flag.Int("rounds", 5, "measure everything this often, in random order")
	outFile = flag.String("json", "", "write the table to this file, as JSON")
	only    = flag.String("only", "", "measure this mode alone, for a profile; no table then")
	binary  = flag.String("xdsproxy", "", "the program, for what is measured from outside")
)

// timing is one run of a mode.
type timing struct{ wall, cpu time.Duration }

// mode is something that is measured: what it returns is timed, what it does
// itself is not.
type mode struct {
	name  string
	often int // runs in a round, at least 1
	run   func(n int) func()
}

// stopwatch collects the runs of all modes.
type stopwatch struct{ runs map[string][]timing }

// measure runs every mode once per round, in random order, so that a noisy
// neighbour hits all alike.
func (s *stopwatch) measure(modes []mode, rounds int) {
	for round := range rounds {
		for _, i := range rand.Perm(len(modes)) {
			if *only != "" && modes[i].name != *only {
				continue
			}
			runtime.GC()
			for k := range modes[i].often {
				s.add(modes[i].name, modes[i].run(round*modes[i].often+k))
			}
		}
	}
}

func (s *stopwatch) add(name string, do func()) {
	cpu, start := cpuTime(), time.Now()
	do()
	s.runs[name] = append(s.runs[name], timing{time.Since(start), cpuTime() - cpu})
}

// cpuTime is what the process has used so far, the garbage collector included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (s *stopwatch) wall(name string) time.Duration {
	return median(s.runs[name], func(t timing) time.Duration { return t.wall })
}

func (s *stopwatch) cpu(name string) time.Duration {
	return median(s.runs[name], func(t timing) time.Duration { return t.cpu })
}

func median(ts []timing, of func(timing) time.Duration) time.Duration {
	var all []time.Duration
	for _, t := range ts {
		all = append(all, of(t))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// bench is the mesh and an engine that has compiled it.
type bench struct {
	*mesh
	t      *testing.T
	watch  *stopwatch
	engine *traffic.Engine
	cache  *decode.Cache
	base   *traffic.View
	olds   []proto.Message // everything, decoded
	events int
	shifts map[string]int
}

var probe = netip.MustParseAddrPort("8.8.8.8:3306")

func newBench(t *testing.T) *bench {
	b := &bench{mesh: newMesh(t), t: t, watch: &stopwatch{runs: map[string][]timing{}}, shifts: map[string]int{}}
	b.cache = b.newCache(1 << 30)
	b.engine = traffic.NewEngine(b.cache)
	b.base = b.engine.View(b.snap, b.env)
	b.olds = b.unmarshalAll()
	b.compare("warm", b.tuned(t, -1))()
	return b
}

func (b *bench) newCache(max int64) *decode.Cache {
	return decode.New(func(d xds.Digest) ([]byte, bool) { body, ok := b.bodies[d]; return body, ok }, max)
}

// unmarshalAll is what any program must do that looks into everything.
func (b *bench) unmarshalAll() []proto.Message {
	var out []proto.Message
	for _, typ := range b.snap.Types() {
		for _, d := range b.snap.All(typ) {
			m, err := unmarshal(b.bodies[d])
			if err != nil {
				b.t.Fatal(err)
			}
			out = append(out, m)
		}
	}
	return out
}

func (b *bench) equalAll() {
	for i, m := range b.unmarshalAll() {
		if !proto.Equal(m, b.olds[i]) {
			b.t.Fatal("a resource is not what it was")
		}
	}
}

// compileAll compiles every resource of the mesh, from bytes.
func (b *bench) compileAll(cacheBytes int64) *traffic.Engine {
	e := traffic.NewEngine(b.newCache(cacheBytes))
	v := e.View(b.snap, b.env)
	v.Resolve(probe, netip.Addr{}, xds.Signal{Kind: xds.ServerFirst})
	for _, d := range b.snap.All(xds.RouteType) {
		e.Refs(xds.RouteType, d)
	}
	for name := range b.snap.All(xds.ClusterType) {
		v.Cluster(name)
	}
	return e
}

// compare is a step away from the mesh; the way back is not measured.
func (b *bench) compare(name string, next *state.Snapshot) func() {
	b.rest()
	return func() { b.shifts[name] = len(b.engine.Compare(b.base, b.engine.View(next, b.env))) }
}

// rest goes back to the mesh, as a sidecar does that was pushed to before.
func (b *bench) rest() {
	v := b.engine.View(b.snap, b.env)
	b.engine.Compare(b.base, v)
	b.base = v
}

func (b *bench) modes() []mode {
	step := func(name string, next func(*testing.T, int) *state.Snapshot) mode {
		return mode{name, 10, func(round int) func() { return b.compare(name, next(b.t, round)) }}
	}
	return []mode{
		{"unmarshal", 1, func(int) func() { return func() { b.unmarshalAll() } }},
		{"equal", 1, func(int) func() { return b.equalAll }},
		{"compile", 1, func(int) func() { return func() { b.compileAll(1 << 30) } }},
		step("listener", b.capture), step("cluster", b.tuned), step("assignment", b.grown), step("assignment-empty", b.emptied), step("host", b.hostAdded),
		{"policy", 1, b.flip},
		{"resolve", 1, b.resolve},
	}
}

// flip measures its stages apart.
func (b *bench) flip(round int) func() {
	next := b.registryOnly(b.t, round)
	b.rest()
	return func() {
		b.watch.add("policy-decode", func() {
			for d := range state.Differences(b.snap, next) {
				b.engine.Refs(d.Type, d.New)
			}
		})
		in := judge.Input{First: judge.PushRef{Number: 2}, Last: judge.PushRef{Number: 2}, Settled: true, Old: b.base}
		b.watch.add("policy-compare", func() {
			v := b.engine.View(next, b.env)
			in.New, in.Shifts = v, b.engine.Compare(b.base, v)
		})
		b.shifts["policy"] = len(in.Shifts)
		b.watch.add("policy-judge", func() { b.events = len(judge.Judge(in)) })
	}
}

// asked is how many questions one run of resolve has.
const asked = 4000

func (b *bench) resolve(int) func() {
	src := netip.MustParseAddr("10.0.0.9")
	qs := []struct {
		dst netip.AddrPort
		sig xds.Signal
	}{
		{probe, xds.Signal{Kind: xds.ServerFirst}},
		{netip.MustParseAddrPort("8.8.8.8:2250"), xds.Signal{Kind: xds.HTTP11, Host: "svc-0003.team01.svc.cluster.local", Path: "/x"}},
		{netip.MustParseAddrPort("8.8.8.8:2250"), xds.Signal{Kind: xds.HTTP11, Host: "nobody.example", Path: "/x"}},
		{netip.MustParseAddrPort("8.8.8.8:443"), xds.Signal{Kind: xds.TLS, SNI: "a.example"}},
	}
	return func() {
		for i := range asked {
			q := qs[i%len(qs)]
			b.base.Resolve(q.dst, src, q.sig)
		}
	}
}

// compiledBytes is what the compiled form of everything takes, the decoded
// messages not counted; and what a second snapshot adds.
func (b *bench) compiledBytes() int64 {
	before := heap()
	e := b.compileAll(1) // remembers no message
	after := heap()
	runtime.KeepAlive(e)
	return after - before
}

func heap() int64 {
	var s runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// figure is one line of the table.
type figure struct {
	What     string  `json:"what"`
	Goal     float64 `json:"goal"`
	Measured float64 `json:"measured"`
	CPU      float64 `json:"cpu,omitempty"` // the same from processor time, 0 if that says nothing
	Unit     string  `json:"unit"`
	AtLeast  bool    `json:"atLeast,omitempty"`
	Met      bool    `json:"met"`
}

type table []figure

func (t *table) atMost(what string, goal, measured, cpu float64, unit string) {
	*t = append(*t, figure{What: what, Goal: goal, Measured: measured, CPU: cpu, Unit: unit, Met: measured <= goal})
}

func (t *table) atLeast(what string, goal, measured, cpu float64, unit string) {
	*t = append(*t, figure{What: what, Goal: goal, Measured: measured, CPU: cpu, Unit: unit, AtLeast: true, Met: measured >= goal})
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

func (b *bench) table() *table {
	w, t := b.watch, &table{}
	t.atMost("first compile of everything / unmarshalling it once", 1.5, ratio(w.wall("compile"), w.wall("unmarshal")), ratio(w.cpu("compile"), w.cpu("unmarshal")), "x")
	for _, s := range []struct {
		name, what string
		goal       float64
	}{
		{"listener", "one listener more", 5}, {"cluster", "one cluster changed", 5}, {"host", "one virtual host more", 5},
		{"assignment", "one assignment changed", 1}, {"assignment-empty", "one assignment emptied", 1},
	} {
		t.atMost(s.what+": compare", s.goal, ms(w.wall(s.name)), ms(w.cpu(s.name)), "ms")
		t.atLeast(s.what+": unmarshal and proto.Equal of everything / compare", 200, ratio(w.wall("equal"), w.wall(s.name)), ratio(w.cpu("equal"), w.cpu(s.name)), "x")
	}
	t.atMost("resolve, once compiled", 20, ms(w.wall("resolve"))/asked*1000, ms(w.cpu("resolve"))/asked*1000, "us")
	all := func(of func(string) time.Duration) time.Duration {
		return of("policy-decode") + of("policy-compare") + of("policy-judge")
	}
	t.atMost("REGISTRY_ONLY flip: compare, after decoding", 50, ms(w.wall("policy-compare")), ms(w.cpu("policy-compare")), "ms")
	t.atMost("REGISTRY_ONLY flip: decode, compile, compare, judge", 400, ms(all(w.wall)), ms(all(w.cpu)), "ms")
	t.atMost("REGISTRY_ONLY flip: events", 19, float64(b.events), 0, "")
	t.atMost("compiled form / bytes it was compiled from", 1, float64(b.compiledBytes())/float64(b.bytes), 0, "x")
	return t
}

func (t *table) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tgoal\tmedian\tby CPU time\tunit\tmet")
	for _, f := range *t {
		op, cpu := "<=", "-"
		if f.AtLeast {
			op = ">="
		}
		if f.CPU != 0 {
			cpu = fmt.Sprintf("%.3g", f.CPU)
		}
		fmt.Fprintf(w, "%s\t%s %g\t%.3g\t%s\t%s\t%v\n", f.What, op, f.Goal, f.Measured, cpu, f.Unit, f.Met)
	}
	w.Flush()
}

// TestNumbers prints the figures; it fails only when they cannot be taken.
func TestNumbers(t *testing.T) {
	if !*numbers {
		t.Skip("measures only with -numbers")
	}
	b := newBench(t)
	fmt.Printf("%d clusters, %d listeners, %d route configurations, %.1f MB; %d rounds, %d CPUs, %s, load %s\n", b.snap.Len(xds.ClusterType),
		b.snap.Len(xds.ListenerType), b.snap.Len(xds.RouteType), float64(b.bytes)/1e6, *rounds, runtime.NumCPU(), runtime.Version(), load())
	b.watch.measure(b.modes(), *rounds)
	if *only != "" {
		for n := range b.watch.runs {
			fmt.Println(n, b.watch.wall(n), b.watch.cpu(n), b.shifts[n], "shifts")
		}
		return
	}
	out := b.table()
	b.batch(out)
	out.print()
	if *outFile == "" {
		return
	}
	j, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*outFile, append(j, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// load is how busy the machine is, as Linux tells.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil || len(b) < 4 {
		return "unknown"
	}
	return string(b[:4])
}
