package cli

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// pushesTimed is how many unanswered pushes are remembered for their latency.
	// The oldest is forgotten when there are more: its answer is counted untimed.
	pushesTimed = 4096
	// marksKept is how many moments of the history are remembered to say how far
	// behind a reader is. When there are more, every second one is forgotten: the
	// answer gets coarser, never wrong by more than one mark's distance.
	marksKept = 1024
)

// meter counts what is recorded, and how far the judge is behind it. Records come
// from the recorder; the numbers are read by whoever asks.
type meter struct {
	now     func() time.Time
	pushes  *prometheus.CounterVec
	answers *prometheus.CounterVec
	latency *prometheus.HistogramVec
	records *prometheus.CounterVec
	refused prometheus.Counter

	mu    sync.Mutex // guards what follows
	sent  map[pushKey]time.Time
	order []pushKey // oldest first
	marks []mark
	first uint64 // the number of the first record of this process
	last  mark
}

type pushKey struct{ stream, number uint64 }

// mark is a moment of the history.
type mark struct {
	seq   uint64 // of the newest record then
	bytes uint64 // pushed and asked until then
	at    time.Time
}

func newMeter(now func() time.Time) *meter {
	return &meter{now: now, sent: map[pushKey]time.Time{},
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "xdsproxy_pushes_total",
			Help: "Pushes recorded, by type; those that a server repeats after a rejection count each."}, []string{"type"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "xdsproxy_answers_total",
			Help: "Answers recorded, by type and result (ack, nack)."}, []string{"type", "result"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "xdsproxy_answer_latency_seconds",
			Help:    "From the last byte of a push to the last byte of its answer, by type.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"type"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "xdsproxy_records_total",
			Help: "Records written, by kind; gap: what is known to be missing."}, []string{"kind"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "xdsproxy_records_lost_total",
			Help: "Records that the store could not take; the history has a gap for them."}),
	}
}

func (m *meter) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.pushes, m.answers, m.latency, m.records, m.refused}
}

// typeLabel is a type as a label: servers choose type URLs, and must not choose how
// many series there are.
func typeLabel(typeURL string) string {
	if s := xds.ShortType(typeURL); typeURL != "" && slices.Contains(labelledTypes, s) {
		return s
	}
	return "other"
}

var labelledTypes = []string{"LDS", "CDS", "RDS", "EDS", "SRDS", "VHDS", "SDS", "ECDS", "RTDS", "NDS", "PCDS", "HEALTH"}

// wrote counts records that the store has taken. A nil meter counts nothing.
func (m *meter) wrote(recs []xds.Record) {
	if m == nil || len(recs) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range recs {
		m.record(&recs[i])
	}
	m.mark()
}

// failed counts records that the store has not taken.
func (m *meter) failed(n int) {
	if m != nil {
		m.refused.Add(float64(n))
	}
}

func (m *meter) record(r *xds.Record) {
	m.records.WithLabelValues(r.Kind.String()).Inc()
	if r.Kind != xds.KindBase && r.Seq > 0 {
		if m.first == 0 {
			m.first = r.Seq
		}
		m.last.seq = r.Seq
	}
	switch r.Kind {
	case xds.KindPush:
		m.last.bytes += uint64(max(r.Push.Size, 0))
		m.pushes.WithLabelValues(typeLabel(r.Push.Type)).Inc()
		m.remember(pushKey{r.Stream, r.Push.Number}, r.Time)
	case xds.KindAnswer:
		m.answer(r)
	case xds.KindRequest:
		m.last.bytes += uint64(max(r.Request.Size, 0))
	}
}

// answer counts one, with the equal pairs of push and answer that it stands for.
func (m *meter) answer(r *xds.Record) {
	typ, result := typeLabel(r.Answer.Type), "ack"
	if r.Answer.NACK() {
		result = "nack"
	}
	m.last.bytes += uint64(max(r.Answer.Size, 0))
	m.pushes.WithLabelValues(typ).Add(float64(r.Answer.Repeat))
	m.answers.WithLabelValues(typ, result).Add(float64(max(r.Answer.Repeat, 1)))
	key := pushKey{r.Stream, r.Answer.Push}
	if at, ok := m.sent[key]; ok {
		delete(m.sent, key)
		m.latency.WithLabelValues(typ).Observe(max(r.Time.Sub(at), 0).Seconds())
	}
}

func (m *meter) remember(k pushKey, t time.Time) {
	m.sent[k] = t
	m.order = append(m.order, k)
	for len(m.sent) > pushesTimed || len(m.order) > 2*pushesTimed {
		delete(m.sent, m.order[0])
		m.order = m.order[1:]
	}
}

// mark remembers where the history is now.
func (m *meter) mark() {
	m.last.at = m.now()
	m.marks = append(m.marks, m.last)
	if len(m.marks) < marksKept {
		return
	}
	half := m.marks[:0]
	for i := 1; i < marksKept; i += 2 { // the newest stays
		half = append(half, m.marks[i])
	}
	m.marks = half
}

// lag is how far a reader is behind that has handled the records up to seq.
type lag struct {
	records, bytes uint64
	time           time.Duration // since the first of them was written
}

// behind tells the lag of a reader. Of what was written before this process began
// only the records count.
func (m *meter) behind(seq uint64) lag {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq >= m.last.seq {
		return lag{}
	}
	l := lag{records: m.last.seq - seq}
	i, _ := slices.BinarySearchFunc(m.marks, seq, func(k mark, seq uint64) int {
		return map[bool]int{true: -1, false: 1}[k.seq <= seq]
	})
	if i > 0 {
		l.bytes = m.last.bytes - m.marks[i-1].bytes
	} else {
		l.bytes = m.last.bytes
	}
	if i < len(m.marks) {
		l.time = max(m.now().Sub(m.marks[i].at), 0)
	}
	return l
}
