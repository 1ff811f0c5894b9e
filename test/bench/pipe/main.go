// Command pipe measures the forwarding path and the store of xdsproxy: what it
// costs to have it between Envoy and the control plane, against what other ways of
// being there cost. Control plane, proxies and clients are processes of their own
// on loopback; all modes take turns in random order within each round, and what
// counts are ratios.
//
// Start with sections, the list of what is measured; docs/performance.md says how
// to read the table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	report   *report
	dir      string // for what is written on the way
	self     string // this program, for the roles
	xdsproxy string
	quick    bool
	anchors  bool
	rounds   int
	modes    string // only these, and splice, where there is a choice
	profile  string // directory for profiles of the relays in mode split
}

// sections in the order in which they run: what others build on last.
var sections = []struct {
	name, what string
	run        func(context.Context, *bench) error
}{
	{"latency", "large pushes of 1.35, 6 and 25 MB, one at a time: latency and CPU", latencySection},
	{"ping", "1 kB there and back", pingSection},
	{"churn", "pushes that are all new: CPU", churnSection},
	{"tls", "TLS on both sides: CPU against a copy loop", tlsSection},
	{"memory", "memory idle and after pushes of 25 MB, and the judge's", memorySection},
	{"streams", "1,000 streams: memory of each, 1 kB to all", streamsSection},
	{"storm", "300 clients connect at once", stormSection},
	{"stalled", "readers that stall or freeze: memory, losses, other streams", stalledSection},
	{"faults", "recorder dead, disk full, disk slow: latency against a healthy one", faultsSection},
	{"slowdisk", "the first push of 25 MB onto a slow disk", slowdiskSection},
	{"store", "the segment log on a long history of little change", storeSection},
	{"detect", "change detection on 20,000 resources", detectSection},
}

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "role-") {
		exit(role(os.Args[1], os.Args[2:]))
	}
	exit(run(os.Args[1:], os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pipe:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(args []string, out io.Writer) error {
	fl := flag.NewFlagSet("pipe", flag.ContinueOnError)
	only := fl.String("only", "", "measure these `sections` alone, separated by commas: "+names())
	quick := fl.Bool("quick", false, "a look, in two minutes: few rounds, no verdicts worth keeping")
	rounds := fl.Int("rounds", 20, "alternating rounds")
	anchors := fl.Bool("anchors", true, "compress the history with zstd -19 and git too, which takes minutes")
	file := fl.String("json", "", "write the figures to `FILE`")
	doc := fl.String("doc", "", "put the figures into the document `FILE`, between its marks")
	merge := fl.String("merge", "", "take the figures of the evaluator's bench from `FILE` into -json")
	binary := fl.String("xdsproxy", "bin/xdsproxy", "the program that is measured")
	work := fl.String("dir", "", "write stores and the like below `DIR` (default: a temporary directory)")
	modes := fl.String("modes", "", "in section latency, measure these `MODES` and splice alone, for a look at one")
	profile := fl.String("profile", "", "write CPU and heap profiles of xdsproxy's parts (mode split) into `DIR`")
	if err := fl.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{report: &report{}, xdsproxy: *binary, quick: *quick, rounds: *rounds, anchors: *anchors && !*quick, profile: *profile, modes: *modes}
	if b.quick {
		b.rounds = min(b.rounds, 4)
	}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(*work, "xdsproxy-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.all(ctx, *only); err != nil {
		return err
	}
	about := machine(ctx)
	for _, k := range []string{"cpu", "cpus", "kernel", "go", "xdsproxy", "haproxy", "zstd", "git", "load"} {
		fmt.Fprintf(out, "%s: %s\n", k, about[k])
	}
	b.report.print(out)
	if *doc != "" {
		if err := b.report.document(*doc, about); err != nil {
			return err
		}
	}
	if *file == "" {
		return nil
	}
	return b.report.write(*file, about, *merge)
}

func names() string {
	var all []string
	for _, s := range sections {
		all = append(all, s.name)
	}
	return strings.Join(all, ", ")
}

func (b *bench) all(ctx context.Context, only string) error {
	want := strings.Split(only, ",")
	for _, w := range want {
		if only != "" && !strings.Contains(names(), w) {
			return fmt.Errorf("there is no section %s: %s", w, names())
		}
	}
	for _, s := range sections {
		if only != "" && !slices.Contains(want, s.name) {
			continue
		}
		began := time.Now()
		b.report.section = s.name
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, s.what)
		err := s.run(ctx, b)
		b.report.tell(os.Stderr)
		if err != nil {
			return fmt.Errorf("section %s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %.0f s\n", s.name, time.Since(began).Seconds())
	}
	return nil
}

// machine says what was measured, and on what.
func machine(ctx context.Context) map[string]string {
	first := func(name string, args ...string) string {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if errors.Is(err, exec.ErrNotFound) {
			return "not here"
		}
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return line
	}
	load, _ := os.ReadFile("/proc/loadavg")
	return map[string]string{"cpu": cpuModel(), "cpus": fmt.Sprint(runtime.NumCPU()), "kernel": first("uname", "-sr"), "go": runtime.Version(),
		"haproxy": first("haproxy", "-v"), "zstd": first("zstd", "--version"), "git": first("git", "--version"),
		"xdsproxy": first("git", "describe", "--tags", "--always", "--dirty"), "load": strings.TrimSpace(string(load)), "time": time.Now().UTC().Format(time.RFC3339)}
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(l, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}
