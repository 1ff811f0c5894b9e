// Package e2e runs the built program between real parts: recorded sessions
// played over the network, and a real Envoy.
package e2e

import (
	"os"
	"testing"

	"github.com/xdsproxy/xdsproxy/test/internal/program"
)

// binary is the xdsproxy under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(program.Main(m, &binary)) }
