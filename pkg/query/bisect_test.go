package query

import (
	"errors"
	"math/bits"
	"testing"
)

func TestBisectFindsEveryPush(t *testing.T) {
	for n := uint64(1); n <= 70; n++ {
		for first := uint64(1); first <= n; first++ {
			b, err := Bisect(0, n, func(p uint64) (Outcome, error) {
				if p >= first {
					return Bad, nil
				}
				return Good, nil
			})
			if err != nil || b.First != first || b.None || b.Before || len(b.Skipped) > 0 {
				t.Fatalf("%d of %d: %+v %v", first, n, b, err)
			}
			if most := bits.Len64(n-1) + 1; b.Tests > most {
				t.Errorf("%d of %d: %d tests, at most %d", first, n, b.Tests, most)
			}
		}
	}
}

func TestBisectDoubtsTheEnds(t *testing.T) {
	always := func(o Outcome) func(uint64) (Outcome, error) {
		return func(uint64) (Outcome, error) { return o, nil }
	}
	if b, _ := Bisect(3, 9, always(Good)); !b.None {
		t.Errorf("nothing is bad: %+v", b)
	}
	if b, _ := Bisect(3, 9, always(Bad)); !b.Before {
		t.Errorf("the good one is bad: %+v", b)
	}
}

func TestBisectSkips(t *testing.T) {
	b, err := Bisect(0, 10, func(p uint64) (Outcome, error) {
		switch {
		case p >= 4 && p <= 6:
			return Skip, nil
		case p > 6:
			return Bad, nil
		}
		return Good, nil
	})
	if err != nil || b.First != 7 || len(b.Skipped) != 3 || b.Skipped[0] != 4 {
		t.Errorf("%+v %v", b, err)
	}
}

func TestBisectEndsWithAnError(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Bisect(0, 10, func(uint64) (Outcome, error) { return Good, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}
