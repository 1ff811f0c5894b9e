// Command xdsproxy records what a control plane pushes to an Envoy and says what
// each push did to traffic. Everything it does stands in pkg/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/xdsproxy/xdsproxy/pkg/cli"
)

// version is set by the linker (see the Makefile).
var version string

func main() { os.Exit(run()) }

// run cancels the command at the first signal; from then on signals have their
// default effect, so a second one ends the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	app := cli.OSApp()
	app.Version = version
	return cli.Main(ctx, app, os.Args[1:])
}
