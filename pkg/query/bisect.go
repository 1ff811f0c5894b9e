package query

// Outcome is what a test of one push says.
type Outcome int

// The outcomes. Skip: the test cannot tell at this push.
const (
	Good Outcome = iota
	Bad
	Skip
)

// Bisection is the outcome of a search for the first bad push.
type Bisection struct {
	// First is the first bad push; with Skipped, one of First and those is it.
	First   uint64
	Skipped []uint64
	// None: no push between is bad: the end, which was said to be bad, tests good.
	None bool
	// Before: the beginning, which was said to be good, tests bad.
	Before bool
	Tests  int
}

// Bisect finds the first bad push after good, up to bad, with at most log2(n)+1
// tests of n pushes where none is skipped. The ends are believed, and tested only
// where the result hangs on them alone. It ends with the first error of test.
func Bisect(good, bad uint64, test func(push uint64) (Outcome, error)) (Bisection, error) {
	s := search{test: test, lo: good, hi: bad, seen: map[uint64]Outcome{}}
	for {
		mid, ok := s.middle()
		if !ok {
			break
		}
		o, err := s.try(mid)
		if err != nil {
			return Bisection{Tests: s.tests}, err
		}
		switch o {
		case Good:
			s.lo = mid
		case Bad:
			s.hi = mid
		}
	}
	return s.result(good, bad)
}

// search knows that lo is good, or believed to be, and hi bad.
type search struct {
	test   func(uint64) (Outcome, error)
	lo, hi uint64
	seen   map[uint64]Outcome
	tests  int
}

func (s *search) try(n uint64) (Outcome, error) {
	s.tests++
	o, err := s.test(n)
	s.seen[n] = o
	return o, err
}

// middle is the push nearest to the middle that was not tried yet.
func (s *search) middle() (uint64, bool) {
	mid := s.lo + (s.hi-s.lo)/2
	for d := uint64(0); d <= s.hi-s.lo; d++ {
		for _, n := range []uint64{mid - d, mid + d} {
			if _, tried := s.seen[n]; !tried && n > s.lo && n < s.hi {
				return n, true
			}
		}
	}
	return 0, false
}

// result tests the end that nothing was learnt about.
func (s *search) result(good, bad uint64) (Bisection, error) {
	b := Bisection{First: s.hi}
	var err error
	switch {
	case s.hi == bad:
		var o Outcome
		o, err = s.try(bad)
		b.None = o == Good
	case s.lo == good:
		var o Outcome
		o, err = s.try(good)
		b.Before = o == Bad
	}
	for n := s.lo + 1; n < s.hi; n++ {
		b.Skipped = append(b.Skipped, n) // what is left between was skipped
	}
	b.Tests = s.tests
	return b, err
}
