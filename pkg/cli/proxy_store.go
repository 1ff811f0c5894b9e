package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/store"
)

const (
	storeMin = 500 * time.Millisecond // before a store that cannot be opened is tried again
	storeMax = 30 * time.Second
)

// record writes what was seen until the queue is closed and empty. It runs beside
// the forwarding, which does not wait for a store to be checked. A store that
// cannot be opened, or that is taken away, is tried again and again; the queue
// keeps what it can meanwhile.
func (p *proxy) record(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil {
			p.unwell.failed(p.log, r)
		}
		p.queue.Close() // first: what came after Drop would stay in memory
		p.queue.Drop()
	}()
	var last *history
	for {
		h := p.openStore(ctx, last)
		if h == nil {
			return
		}
		p.history.Store(h)
		p.dir.Store(&h.cfg.dir)
		p.opening.Do(func() { close(p.opened) })
		p.log.Info().Str("store", h.cfg.dir).Msg("recording")
		h.run(ctx, p.queue)
		p.history.Store(nil) // nothing is known to the next one
		if err := h.close(); err != nil {
			p.log.Error().Err(err).Msg("the end of the history may be missing")
		}
		if !h.gone {
			return
		}
		last = h
	}
}

// openStore opens the store, with patience; nil says that the proxy ends. last is
// the history that was written before, into a store that is gone.
func (p *proxy) openStore(ctx context.Context, last *history) *history {
	said := ""
	for wait := storeMin; ; wait = min(2*wait, storeMax) {
		dir, err := storeFor(p.app, p.o.store)
		var h *history
		if err == nil {
			h, err = openHistory(ctx, historyConfig{dir: dir, retain: p.o.retain, opaque: p.o.opaque, now: p.app.Now, log: p.log, unwell: &p.unwell, meter: p.meter,
				missed: said, last: last})
		}
		if err == nil {
			if p.unwell.set("") {
				p.log.Info().Msg("recording works again")
			}
			return h
		}
		p.unwell.set("nothing is recorded: " + err.Error())
		if said != err.Error() {
			said = err.Error()
			writeErrorText(p.app.Stderr, storeFailure(dir, err))
		}
		if !p.pause(ctx, wait) {
			return nil
		}
	}
}

// pause waits; false says that the proxy ends.
func (p *proxy) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ending:
	case <-ctx.Done():
	}
	return false
}

// storeFor is the directory to record into.
func storeFor(app *App, flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if dir := app.Getenv("XDSPROXY_STORE"); dir != "" {
		return dir, nil
	}
	usual := usualStores(app)
	if st, err := os.Stat(usual[0]); err == nil && st.IsDir() || len(usual) == 1 {
		return usual[0], nil
	}
	dir := usual[len(usual)-1]
	return dir, os.MkdirAll(filepath.Dir(dir), 0o700)
}

// storeFailure says why the proxy records nothing.
func storeFailure(dir string, err error) *Error {
	var newer *store.NewerVersionError
	switch {
	case errors.Is(err, store.ErrLocked):
		return Fail(CodeStoreLocked, "another process writes to it", "one --store DIR for each proxy", "forwarding without recording into %s", dir)
	case errors.As(err, &newer):
		return Fail(CodeNewer, newer.Error(), "a newer xdsproxy, or another --store", "forwarding without recording into %s", dir)
	}
	return Fail(CodeWrite, err.Error(), "--store DIR that this user may write to", "forwarding without recording into %s", dir)
}
