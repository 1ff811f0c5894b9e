package intercept

// budget bounds what all observers of a process hold together for messages that
// are not complete. Who does not get what it asks for does without: a resource
// loses its bytes, a message becomes a gap.
type budget struct {
	max   int64
	stats *Stats
}

// take asks for n more bytes.
func (b *budget) take(n int) bool { return b.within(n, b.max) }

// takeBody asks for n more bytes for a resource's content. A sixteenth is left to
// what is lost without: lists of resources, envelopes, requests.
func (b *budget) takeBody(n int) bool { return b.within(n, b.max-b.max/16) }

func (b *budget) within(n int, max int64) bool {
	now := b.stats.assembly.Add(int64(n))
	if now > max {
		b.stats.assembly.Add(-int64(n))
		return false
	}
	for {
		high := b.stats.assemblyHighest.Load()
		if now <= high || b.stats.assemblyHighest.CompareAndSwap(high, now) {
			return true
		}
	}
}

func (b *budget) give(n int) { b.stats.assembly.Add(-int64(n)) }

// share is one message's part of a budget.
type share struct {
	from *budget
	held int
}

func (s *share) take(n int) bool {
	if !s.from.take(n) {
		return false
	}
	s.held += n
	return true
}

// give gives n bytes back.
func (s *share) give(n int) {
	s.from.give(n)
	s.held -= n
}

// release gives everything back.
func (s *share) release() {
	if s.held != 0 {
		s.from.give(s.held)
		s.held = 0
	}
}
