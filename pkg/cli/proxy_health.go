package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// calm is how long nothing must have failed where nothing as large as what failed
// was written since; brief, where something was: a disk that fails now and then is
// one failure, not one for each write.
const (
	calm  = 10 * time.Second
	brief = time.Second
)

// health says whether a store that failed works again. On a full disk an answer of
// a few bytes still fits where a push does not: that is no recovery.
type health struct {
	failed time.Time // the last time, zero: never
	size   int       // of what failed then
	wrote  bool      // something as large was written since
}

// appended notes one attempt.
func (h *health) appended(recs int, bodies []xds.Body, err error, now time.Time) {
	size := recs
	for _, b := range bodies {
		size += len(b.Bytes)
	}
	switch {
	case err != nil:
		*h = health{failed: now, size: size}
	case size >= h.size:
		h.wrote = true
	}
}

func (h *health) well(now time.Time) bool {
	enough := calm
	if h.wrote {
		enough = brief
	}
	return h.failed.IsZero() || now.Sub(h.failed) >= enough
}

// placed is a store's directory, as it was when it was opened. A directory that
// was removed can be written into for a long time without an error.
type placed struct {
	path string
	info os.FileInfo
}

func place(dir string) (placed, error) {
	path := filepath.Join(dir, "LOCK")
	info, err := os.Stat(path)
	return placed{path, info}, err
}

// there reports whether the store still stands where it stood.
func (p placed) there() bool {
	info, err := os.Stat(p.path)
	return err == nil && os.SameFile(info, p.info)
}

// condition is what is wrong at the moment, "" when nothing is.
type condition struct{ text atomic.Pointer[string] }

// set reports whether well turned to unwell or back.
func (c *condition) set(s string) bool {
	old := c.text.Swap(&s)
	return (old == nil || *old == "") != (s == "")
}

// failed tells of a panic, without what it says: that may be configuration.
func (c *condition) failed(log zerolog.Logger, r any) {
	c.set(fmt.Sprintf("nothing is recorded: the recorder failed (%T)", r))
	log.Error().Str("panic", fmt.Sprintf("%T", r)).Msg("the recorder failed; forwarding goes on")
}

func (c *condition) get() string {
	if s := c.text.Load(); s != nil {
		return *s
	}
	return ""
}
