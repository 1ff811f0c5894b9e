package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/store"
)

const (
	spaceFail = 64 << 20 // less free space than this will not last
	spaceWarn = 1 << 30  // ditto, where it is also less than a tenth
)

// checkStore finds the store and opens it, which reads every checksum.
func checkStore(ctx context.Context, p *patient) Finding {
	dir, err := p.o.dir(p.app)
	if err != nil {
		f := failed(err)
		f.Try = "--store DIR of `xdsproxy proxy` or `xdsproxy import`, and a user that may read it"
		return f
	}
	p.dir = dir
	h, err := readRecent(ctx, dir, p.now)
	if err != nil {
		return failed(readFailure(dir, err))
	}
	p.history = h
	bytes, files, err := segmentBytes(dir)
	if err != nil {
		return failed(err)
	}
	return fine(fmt.Sprintf("%s: %s, %s", dir, plural(files, "segment", "segments"), byteCount(bytes)))
}

// noStore is what the checks of a store say when there is none.
func noStore() Finding { return skip("there is no store to look at") }

// checkAccess: configuration tells much about a system.
func checkAccess(_ context.Context, p *patient) Finding {
	if p.dir == "" {
		return noStore()
	}
	files, err := filepath.Glob(filepath.Join(p.dir, "*"))
	if err != nil {
		return failed(err)
	}
	open := []string{}
	for _, path := range append([]string{p.dir}, files...) {
		if st, err := os.Stat(path); err == nil && st.Mode().Perm()&0o077 != 0 {
			open = append(open, path)
		}
	}
	if len(open) > 0 {
		return warn(CodeOpenStore, shortList(open, 2)+" can be used by others",
			"a store holds all that a control plane tells its clients, and the key of what was redacted",
			"chmod -R go= "+p.dir)
	}
	return fine("readable by its owner only")
}

func checkSpace(_ context.Context, p *patient) Finding {
	if p.dir == "" {
		return noStore()
	}
	free, total, err := diskFree(p.dir)
	if err != nil {
		return skip(err.Error())
	}
	what := fmt.Sprintf("%s free of %s", byteCount(int64(free)), byteCount(int64(total)))
	why := "when the disk is full, configuration passes unrecorded"
	try := "a larger disk, another --store, or fewer days of history"
	switch {
	case free < spaceFail:
		return fail(CodeLowSpace, what, why, try)
	case free < spaceWarn && free < total/10:
		return warn(CodeLowSpace, what, why, try)
	}
	return fine(what)
}

// checkDamage tells what opening the store has found. `store verify` looks deeper.
func checkDamage(_ context.Context, p *patient) Finding {
	if p.history == nil {
		return noStore()
	}
	torn, bad := 0, []*store.DamageError{}
	for _, d := range p.history.problems {
		if d.Torn {
			torn++
		} else {
			bad = append(bad, d)
		}
	}
	if len(bad) > 0 {
		return fail(CodeStoreDamaged, fmt.Sprintf("damaged at %s", plural(len(bad), "place", "places")), bad[0].Error(),
			"xdsproxy store verify --store "+p.dir+" names all of it; every command goes on with the rest")
	}
	if torn > 0 && !p.history.writing {
		return fine("every checksum holds; a last write was cut off when its process was killed, which loses nothing that was there")
	}
	return fine("every checksum holds")
}

func checkClock(_ context.Context, p *patient) Finding {
	h := p.history
	if h == nil || h.last.IsZero() {
		return skip("there is no record to compare with")
	}
	try := "let this machine, and the one that recorded, synchronise their clocks (NTP)"
	if ahead := h.last.Sub(p.now); ahead > 5*time.Second {
		return warn(CodeClock, fmt.Sprintf("the newest record is of %s from now", age(ahead)), "a clock was wrong then or is wrong now; "+
			"times in the history, and @{10m}, are off by as much", try)
	}
	if h.backward > time.Second {
		return warn(CodeClock, fmt.Sprintf("the clock was set back while recording, once by %s", latency(h.backward)),
			"records keep their order; durations across that moment are wrong", try)
	}
	return fine("no record is of the future, and time never ran backward")
}

// byteCount is a size as people say it.
func byteCount(n int64) string {
	switch {
	case n < 1e3:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
