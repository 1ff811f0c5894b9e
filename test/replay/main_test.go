// Package replay replays the recordings to a real Envoy with the built program.
package replay

import (
	"os"
	"testing"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

// binary is the xdsproxy under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(program.Main(m, &binary)) }
