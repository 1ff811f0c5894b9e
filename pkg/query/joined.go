package query

import (
	"fmt"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Joined compares what two Sources hold: it reads the bodies of both. Of their
// histories it tells nothing.
func Joined(a, b Source) Source { return joined{Source: a, other: b} }

type joined struct {
	Source // sidecars and records: those of the first
	other  Source
}

// Body looks in both; a body has one name wherever it was recorded.
func (j joined) Body(d xds.Digest) ([]byte, bool, error) {
	b, ok, err := j.Source.Body(d)
	if ok && err == nil {
		return b, true, nil
	}
	b, ok, err2 := j.other.Body(d)
	if ok && err2 == nil {
		return b, true, nil
	}
	if err == nil {
		err = err2
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading a body of either side: %w", err)
	}
	return nil, false, nil
}
