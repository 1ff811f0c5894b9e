package cli

import (
	"context"
	"errors"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// seedTime bounds the wait for records that a damaged store does not give.
const seedTime = 30 * time.Second

// seed folds the last segment of a store: its bases, and what came after. Sidecars
// that have no base there were gone for long.
func seed(ctx context.Context, f *state.Fold, dir string, last uint64) (err error) {
	r, err := store.OpenReader(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	from, err := seedBases(f, r, last)
	if err != nil || from >= last {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, seedTime)
	defer cancel()
	for rec, err := range r.Follow(ctx, xds.Sidecar{}, from+1) {
		if err != nil {
			return err
		}
		f.Apply(rec)
		if rec.Seq >= last {
			break
		}
	}
	return nil
}

// seedBases applies the newest bases and returns the record they stand behind.
func seedBases(f *state.Fold, r *store.Reader, last uint64) (uint64, error) {
	ids, err := r.Sidecars()
	if err != nil {
		return 0, err
	}
	var newest uint64
	var bases []xds.Record
	for _, id := range ids {
		b, ok, err := r.Base(id, last)
		switch {
		case err != nil:
			return 0, err
		case !ok || b.Seq < newest:
			continue
		case b.Seq > newest:
			bases, newest = nil, b.Seq
		}
		bases = append(bases, b)
	}
	for _, b := range bases {
		f.Apply(b)
	}
	return newest, nil
}
