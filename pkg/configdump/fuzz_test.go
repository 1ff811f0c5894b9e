package configdump_test

import (
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// FuzzRead: whatever comes in, Read gives an error or records that refer only to
// bodies that are there.
func FuzzRead(f *testing.F) {
	f.Add([]byte(odd))
	f.Add([]byte(single))
	f.Add([]byte(old))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := configdump.Read(b)
		if err != nil {
			return
		}
		have := map[xds.Digest]bool{}
		for _, body := range d.Bodies {
			have[body.Digest] = true
		}
		for _, r := range d.Records {
			if r.Kind != xds.KindPush {
				continue
			}
			for _, e := range r.Push.Resources {
				if e.State == xds.EntryBody && !have[e.Digest] {
					t.Fatalf("%s %s has no body", r.Push.Type, e.Name)
				}
			}
		}
	})
}
