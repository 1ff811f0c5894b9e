package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// Format is the form of a command's output (-o).
type Format = string

// The formats. Table, Wide and Short are for people and may change.
const (
	FormatTable Format = "table"
	FormatWide  Format = "wide"
	FormatJSON  Format = "json"
	FormatJSONL Format = "jsonl"
	FormatYAML  Format = "yaml"
	FormatShort Format = "short"
)

// bindOutput adds -o to cmd with the allowed formats, the first one the default.
func bindOutput(cmd *cobra.Command, to *Format, allowed ...Format) {
	cmd.Flags().VarP(newChoice(to, allowed[0], allowed...), "output", "o", "output format")
}

// machine reports whether f is for programs.
func machine(f Format) bool { return f == FormatJSON || f == FormatJSONL || f == FormatYAML }

// Emit writes v in a format for programs.
func Emit(w io.Writer, f Format, v any) error {
	b, err := encode(f, v)
	if err != nil {
		return fmt.Errorf("encoding the output: %w", err)
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

func encode(f Format, v any) ([]byte, error) {
	if f == FormatYAML {
		return yaml.Marshal(v)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if f == FormatJSON {
		enc.SetIndent("", "  ")
	}
	err := enc.Encode(v)
	return b.Bytes(), err
}
