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

// run cancels the command at the first signal. From before that on signals have
// their default effect: a second one ends the process at once, also where it
// comes right behind.
func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first := make(chan os.Signal, 1)
	signal.Notify(first, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-first:
			signal.Stop(first)
			cancel()
		case <-ctx.Done():
		}
	}()
	app := cli.OSApp()
	app.Version = version
	return cli.Main(ctx, app, os.Args[1:])
}
