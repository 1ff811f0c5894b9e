package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The history that the store's goals are stated for.
const (
	historyClusters = 2003
	historyChanged  = 20
	historyPushes   = 1000
)

// past is a history of pushes of all clusters, few of which change each time. It is
// made on the fly: raw it has 2 GB.
type past struct {
	bodies  [][]byte
	entries []xds.Entry
	knobs   []int
	changed []int // of the last step
	n       int
	raw     int64
	rnd     *rand.Rand
}

func newPast(r *recording, names renamer) (*past, error) {
	all, err := r.multiply(xds.ClusterType, historyClusters, names)
	if err != nil {
		return nil, err
	}
	p := &past{bodies: all, rnd: rand.New(rand.NewPCG(3, 4))}
	for i, b := range all {
		p.entries = append(p.entries, xds.Entry{Name: clusterName(b)})
		p.knobs = append(p.knobs, knob(b))
		p.changed = append(p.changed, i)
	}
	return p, nil
}

// clusterName reads the name of the Cluster inside an Any.
func clusterName(any []byte) string {
	return string(bytesField(bytesField(any, 2), 1))
}

// step is the next push.
func (p *past) step() (xds.Record, []xds.Body) {
	if p.n > 0 {
		p.changed = p.changed[:0]
		for range historyChanged {
			i := p.rnd.IntN(len(p.bodies))
			k := p.knobs[i]
			b := append([]byte(nil), p.bodies[i]...)
			turn(b[k:k+5], p.rnd)
			p.bodies[i] = b
			p.changed = append(p.changed, i)
		}
	}
	p.n++
	var bodies []xds.Body
	for _, i := range p.changed {
		b := xds.NewBody(p.bodies[i])
		p.entries[i].Digest, p.entries[i].Size = b.Digest, len(b.Bytes)
		bodies = append(bodies, b)
	}
	size := 0
	for i := range p.entries {
		size += p.entries[i].Size + 3
	}
	p.raw += int64(size)
	push := &xds.Push{Number: uint64(p.n), Type: xds.ClusterType, Version: fmt.Sprintf("2026-11-22T19:%02d:%02dZ/%d", p.n/60%60, p.n%60, p.n),
		Nonce: p.nonce(), Resources: append([]xds.Entry(nil), p.entries...), Size: size}
	return xds.Record{Time: p.time(), Took: 3 * time.Millisecond, Kind: xds.KindPush, Stream: 1, Sidecar: benched, Push: push}, bodies
}

var benched = xds.Sidecar{Node: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", Cluster: "web.shop", Mesh: "Kubernetes"}

func (p *past) time() time.Time {
	return time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC).Add(time.Duration(p.n) * (time.Second + 1234567))
}

// nonce as istiod makes it: the version and a UUID.
func (p *past) nonce() string {
	return fmt.Sprintf("%016x-%016x", p.rnd.Uint64(), p.rnd.Uint64())
}

// answer acknowledges the last push.
func (p *past) answer(push xds.Record) xds.Record {
	q := push.Push
	return xds.Record{Time: push.Time.Add(5 * time.Millisecond), Kind: xds.KindAnswer, Stream: 1, Sidecar: benched,
		Answer: &xds.Answer{Request: xds.Request{Type: q.Type, Version: q.Version, Nonce: q.Nonce, Size: 137}, Push: q.Number}}
}

// message is the push as it stood on the wire.
func (p *past) message(buf []byte, push xds.Record) []byte {
	buf = appendString(buf[:0], respVersion, push.Push.Version)
	for _, b := range p.bodies {
		buf = appendBytes(buf, respResources, b)
	}
	buf = appendString(buf, respType, xds.ClusterType)
	return appendString(buf, respNonce, push.Push.Nonce)
}

// storeSection measures the segment log on a long history of little change.
func storeSection(ctx context.Context, b *bench) error {
	filters, err := openNamed("13-istio-filters")
	if err != nil {
		return err
	}
	mesh, err := large()
	if err != nil {
		return err
	}
	pushes := historyPushes
	if b.quick {
		pushes = 300
	}
	for _, h := range []struct {
		name  string
		from  *recording
		names renamer
		goals bool
	}{{"Istio's filters", filters, filterNames, true}, {"10-large", mesh, largeNames, false}} {
		if err := b.history(h.name, h.goals && !b.quick, pushes, func() (*past, error) { return newPast(h.from, h.names) }); err != nil {
			return fmt.Errorf("the history of %s: %w", h.name, err)
		}
	}
	if err := b.imported(ctx); err != nil {
		return err
	}
	if b.anchors {
		return b.anchor(ctx, pushes, func() (*past, error) { return newPast(filters, filterNames) })
	}
	return nil
}

// history writes the same past three times: pushes alone, with answers, and in
// small segments, which begin with bases.
func (b *bench) history(name string, goals bool, pushes int, fresh func() (*past, error)) error {
	dir := filepath.Join(b.dir, "history-"+strings.ReplaceAll(name, "'", ""))
	p, err := fresh()
	if err != nil {
		return err
	}
	cpu, wall := selfCPU(), time.Now()
	bare, err := p.write(dir, pushes, 0, false)
	if err != nil {
		return err
	}
	took, used := time.Since(wall), selfCPU()-cpu
	raw := float64(p.raw)
	r := b.report
	label := func(s string) string { return fmt.Sprintf("%s (%s, %d pushes)", s, name, pushes) }
	note := fmt.Sprintf("raw %.0f MB, %d bytes a cluster, disk %d bytes", raw/1e6, len(p.bodies[0]), bare)
	if goals {
		r.atLeast(label("raw/disk, bodies and manifests"), 1200, raw/float64(bare), "x").Note = note
	} else {
		r.fact(label("raw/disk, bodies and manifests"), raw/float64(bare), "x").Note = note
	}
	r.fact(label("writing, raw"), raw/1e6/took.Seconds(), "MB/s").Note = "making the history included"
	r.fact(label("writing, CPU per raw MB"), used.Seconds()*1e3/(raw/1e6), "ms")
	if err := b.reading(label, dir, pushes, goals); err != nil {
		return err
	}
	return b.besides(label, dir, pushes, raw, bare, fresh)
}

// besides says what answers and bases add.
func (b *bench) besides(label func(string) string, dir string, pushes int, raw float64, bare int64, fresh func() (*past, error)) error {
	for _, v := range []struct {
		what    string
		segment int64
	}{{"with answers and requests", 0}, {"in segments of 256 KiB, each with a base, with answers", 256 << 10}} {
		p, err := fresh()
		if err != nil {
			return err
		}
		n, err := p.write(dir+"-"+strconv.FormatInt(v.segment, 10), pushes, v.segment, true)
		if err != nil {
			return err
		}
		b.report.fact(label("raw/disk "+v.what), raw/float64(n), "x").Note = fmt.Sprintf("%d bytes more", n-bare)
	}
	return nil
}

// write appends the history and says what it takes on disk.
func (p *past) write(dir string, pushes int, segment int64, answers bool) (int64, error) {
	fold := state.New(nil)
	cfg := store.Config{Dir: dir, SegmentBytes: segment}
	if segment > 0 {
		cfg.Bases = func() []xds.Record {
			if r, ok := fold.Base(benched); ok {
				return []xds.Record{r}
			}
			return nil
		}
	}
	w, err := store.OpenWriter(cfg)
	if err != nil {
		return 0, err
	}
	for range pushes {
		r, bodies := p.step()
		recs := []xds.Record{r}
		if answers {
			recs = append(recs, p.answer(r))
		}
		if err := w.Append(recs, bodies); err != nil {
			return 0, err
		}
		for i := range recs {
			if segment > 0 {
				fold.Apply(recs[i])
			}
		}
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	return segmentBytes(dir)
}

func segmentBytes(dir string) (n int64, err error) {
	all, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	for _, f := range all {
		st, err := os.Stat(f)
		if err != nil {
			return 0, err
		}
		n += st.Size()
	}
	return n, err
}

// reading opens the store, and reads snapshots from its past.
func (b *bench) reading(label func(string) string, dir string, pushes int, goals bool) error {
	var opens, reads, cold []float64
	for range 15 {
		t := time.Now()
		r, err := store.OpenReader(dir)
		if err != nil {
			return err
		}
		opens = append(opens, ms(time.Since(t))*1000/float64(pushes))
		at := uint64(1 + rand.IntN(pushes))
		t = time.Now()
		if err := snapshotAt(r, at, nil); err != nil {
			return err
		}
		cold = append(cold, ms(time.Since(t)))
		for range 3 {
			at, got := uint64(1+rand.IntN(pushes)), [][]byte(nil)
			t := time.Now()
			if err := snapshotAt(r, at, &got); err != nil {
				return err
			}
			reads = append(reads, ms(time.Since(t)))
		}
		_ = r.Close()
	}
	q := b.report
	if !goals {
		q.fact(label("open, all checksums, per 1,000 pushes"), median(opens), "ms")
		q.fact(label("read a past snapshot, p50"), median(cold), "ms").Note = fmt.Sprintf("nothing cached; p99 %.3g; the next ones %.3g", quantile(cold, .99), median(reads))
		return nil
	}
	q.atMost(label("open, all checksums, per 1,000 pushes"), 10, median(opens), "ms")
	q.atMost(label("read a past snapshot, p50"), 25, median(cold), "ms").Note = fmt.Sprintf("nothing cached; p99 %.3g; the next ones %.3g", quantile(cold, .99), median(reads))
	return nil
}

// snapshotAt reads the push with a number, with everything in it.
func snapshotAt(r *store.Reader, at uint64, keep *[][]byte) error {
	for rec, err := range r.Records(benched, at) {
		if err != nil {
			return err
		}
		if rec.Push == nil || rec.Seq != at || len(rec.Push.Resources) != historyClusters {
			return fmt.Errorf("record %d is not the push that was written", at)
		}
		for _, e := range rec.Push.Resources {
			body, ok, err := r.Body(e.Digest)
			if !ok || err != nil || len(body) != e.Size {
				return fmt.Errorf("push %d: %s is not there: %w", at, e.Name, err)
			}
			if keep != nil {
				*keep = append(*keep, body)
			}
		}
		return nil
	}
	return fmt.Errorf("record %d is not there", at)
}

// imported is the same for what was recorded from a real istiod.
func (b *bench) imported(ctx context.Context) error {
	for _, name := range []string{"10-large", "15-large-sotw", "09-endpoints-churn", "13-istio-filters"} {
		rec, err := found(name)
		if err != nil {
			return err
		}
		dir := filepath.Join(b.dir, "import-"+name)
		if out, err := exec.CommandContext(ctx, b.xdsproxy, "import", filepath.Join(rec, "session.jsonl.gz"), "--store", dir).CombinedOutput(); err != nil {
			return fmt.Errorf("importing %s: %w: %s", name, err, out)
		}
		st, err := store.Stat(dir)
		if err != nil {
			return err
		}
		n, err := segmentBytes(dir)
		if err != nil {
			return err
		}
		b.report.fact("raw/disk of the recording "+name, float64(st.PushBytes)/float64(n), "x").Note =
			fmt.Sprintf("%d pushes, pushed %.2f MB, disk %.3f MB", st.Records["push"], float64(st.PushBytes)/1e6, float64(n)/1e6)
	}
	return nil
}
