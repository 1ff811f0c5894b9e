package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

type versionOptions struct{ output Format }

// VersionInfo is what `version -o json` prints.
type VersionInfo struct {
	APIVersion string `json:"apiVersion"`
	Version    string `json:"version"`
	Revision   string `json:"revision,omitempty"`
	Modified   bool   `json:"modified,omitempty"`
	Go         string `json:"go"`
}

func newVersion(app *App) *cobra.Command {
	var o versionOptions
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  xdsproxy version\n  xdsproxy version -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVersion(cmd.Context(), app, o, args)
		},
	}
	bindOutput(cmd, &o.output, FormatTable, FormatJSON, FormatJSONL, FormatYAML)
	return cmd
}

func runVersion(_ context.Context, app *App, o versionOptions, _ []string) error {
	v := buildVersion(app.Version)
	if machine(o.output) {
		return Emit(app.Stdout, o.output, v)
	}
	_, err := fmt.Fprintf(app.Stdout, "xdsproxy %s (%s)\n", v.Version, v.Go)
	return err
}

func buildVersion(stamped string) VersionInfo {
	v := VersionInfo{APIVersion: xds.APIVersion, Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	if stamped != "" {
		v.Version = stamped
	}
	return v
}
