package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// recentTime is how far back gaps are looked for.
	recentTime = time.Hour
	// recentRecords bounds how many records are read for it.
	recentRecords = 100_000
	// judgeLate is how long the judge may leave a record unhandled.
	judgeLate = time.Minute
)

// recent is the end of a history.
type recent struct {
	problems  []*store.DamageError
	writing   bool   // someone has the store now
	seq       uint64 // of the newest record, 0 without one
	last      time.Time
	backward  time.Duration // the largest step back in time
	gaps      int
	gap       string // the reason of the newest one
	gapAt     time.Time
	connected int // sidecars with a stream
	sidecars  int
	handled   uint64    // by the live judge
	judged    bool      // a live judge has been here
	waiting   time.Time // of the first record that it has not handled
}

// readRecent reads the last hour before now, or before the end of a history that
// was recorded earlier.
func readRecent(ctx context.Context, dir string, now time.Time) (h *recent, err error) {
	r, err := store.OpenReader(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h = &recent{problems: r.Problems(), writing: store.Writing(dir), seq: r.Last()}
	if m, err := openMemory(filepath.Join(dir, resumeFile)); err == nil && m.state.Seq > 0 {
		h.judged, h.handled = true, m.state.Seq
	}
	if h.seq == 0 {
		return h, nil
	}
	if err := h.read(ctx, r, now); err != nil {
		return nil, err
	}
	f := state.New(nil)
	if err := seed(ctx, f, dir, h.seq); err != nil {
		return nil, fmt.Errorf("reading the last segment: %w", err)
	}
	for _, id := range f.Sidecars() {
		if v, ok := f.View(id); ok {
			h.sidecars++
			if v.Connected {
				h.connected++
			}
		}
	}
	return h, nil
}

func (h *recent) read(ctx context.Context, r *store.Reader, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, seedTime)
	defer cancel()
	var gaps []xds.Record
	var before time.Time
	from := uint64(1)
	if h.seq > recentRecords {
		from = h.seq - recentRecords
	}
	for rec, err := range r.Follow(ctx, xds.Sidecar{}, from) {
		if err != nil {
			return err
		}
		h.backward = max(h.backward, before.Sub(rec.Time))
		before, h.last = rec.Time, rec.Time
		if rec.Kind == xds.KindGap {
			gaps = append(gaps, rec)
		}
		if h.judged && rec.Seq > h.handled && h.waiting.IsZero() {
			h.waiting = rec.Time
		}
		if rec.Seq >= h.seq {
			break
		}
	}
	h.count(gaps, now)
	return nil
}

func (h *recent) count(gaps []xds.Record, now time.Time) {
	end := now
	if now.Sub(h.last) > recentTime {
		end = h.last
	}
	for _, g := range gaps {
		if end.Sub(g.Time) <= recentTime {
			h.gaps, h.gap, h.gapAt = h.gaps+1, g.Gap.Reason, g.Time
		}
	}
}

// checkRecording says whether anything is recorded, and how old the newest is.
func checkRecording(_ context.Context, p *patient) Finding {
	h := p.history
	if h == nil {
		return noStore()
	}
	why := "no Envoy connects to the proxy, or what connects is no xDS client"
	try := "in Envoy's bootstrap, the control plane's address must be that of --listen; under Istio, discoveryAddress in proxy.istio.io/config"
	if h.seq == 0 {
		return fail(CodeNothingRecorded, "nothing was ever recorded here", why, try)
	}
	ago := age(p.now.Sub(h.last))
	switch {
	case !p.running && !h.writing:
		return fine(fmt.Sprintf("nobody records now; %s, the newest record is %s old", plural(h.sidecars, "sidecar", "sidecars"), ago))
	case h.connected == 0:
		return warn(CodeNothingRecorded, fmt.Sprintf("no sidecar is connected; the newest record is %s old", ago), why, try)
	}
	return fine(fmt.Sprintf("%s connected; the newest record is %s old", plural(h.connected, "sidecar", "sidecars"), ago))
}

func checkGaps(_ context.Context, p *patient) Finding {
	h := p.history
	if h == nil {
		return noStore()
	}
	if h.gaps == 0 {
		return fine("none in the last hour of the history")
	}
	return warn(CodeGaps, fmt.Sprintf("%s in the last hour of the history, the last one at %s: %s", plural(h.gaps, "gap", "gaps"),
		moment(h.gapAt), h.gap), "something passed that was not recorded; answers that depend on it say so",
		"the metrics xdsproxy_gaps_total and xdsproxy_records_lost_total of the proxy tell the kinds apart; the next full push of a type heals it")
}

func checkJudge(_ context.Context, p *patient) Finding {
	h := p.history
	if h == nil {
		return noStore()
	}
	if !h.judged {
		return skip("no live judge works on this store: proxy --events-file or --events-stdout")
	}
	if h.waiting.IsZero() {
		return fine("has handled every record")
	}
	behind := fmt.Sprintf("%s behind", plural(int(h.seq-h.handled), "record", "records"))
	if late := p.now.Sub(h.waiting); late > judgeLate {
		return warn(CodeJudgeBehind, fmt.Sprintf("%s, the oldest %s old", behind, age(late)),
			"it is not running, restarts again and again, or is too slow", "the log of xdsproxy proxy says why it ended; without a proxy: xdsproxy events")
	}
	return fine(behind + ", which is usual while configuration changes")
}
