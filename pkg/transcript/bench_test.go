package transcript_test

import (
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/transcript"
)

func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"01-seed-mysql-delta", "10-large", "15-large-sotw"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				read(b, recordings+"/"+name+"/session.jsonl.gz", transcript.Config{})
			}
		})
	}
}
