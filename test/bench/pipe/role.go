package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
)

// role is this program as one of the processes of a measurement. It ends when its
// parent says so; what it listens on it prints first.
func role(name string, args []string) error {
	ctx, stop := untilSignal()
	defer stop()
	fl := flag.NewFlagSet(name, flag.ContinueOnError)
	var c relayConfig
	fl.StringVar(&c.Mode, "mode", "", "of a relay")
	fl.StringVar(&c.Upstream, "upstream", "", "address of the server")
	fl.StringVar(&c.CA, "ca", "", "speak TLS to upstream")
	fl.StringVar(&c.Cert, "cert", "", "speak TLS to clients")
	fl.StringVar(&c.Key, "key", "", "key of -cert")
	fl.StringVar(&c.Store, "store", "", "of mode split")
	profile := fl.String("profile", "", "write profiles to `FILE`.cpu and FILE.heap at the end")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		done, err := profiled(*profile)
		if err != nil {
			return err
		}
		defer done()
	}
	switch name {
	case "role-server":
		return serverRole(ctx, c.Cert, c.Key, os.Stdout)
	case "role-client":
		return clientRole(ctx, c.Upstream, os.Stdin, os.Stdout)
	case "role-relay":
		return relayRole(ctx, c, os.Stdout)
	}
	return fmt.Errorf("there is no %s", name)
}

func profiled(name string) (done func(), err error) {
	cpu, err := os.Create(name + ".cpu")
	if err != nil {
		return nil, err
	}
	heap, err := os.Create(name + ".heap")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = cpu.Close()
		_ = pprof.Lookup("heap").WriteTo(heap, 0)
		_ = heap.Close()
	}, nil
}
