package timeline_test

import (
	"testing"
)

func TestRecordings(t *testing.T) {
	for _, name := range recorded(t) {
		src := history(t, name)
		for _, id := range sidecars(t, src) {
			t.Run(name+"/"+id.Name(), func(t *testing.T) {
				for _, e := range walk(real(src), recordsOf(t, src, id)) {
					t.Log(e.Time.Format("15:04:05.000"), line(e), e.Pushes)
				}
			})
		}
	}
}
