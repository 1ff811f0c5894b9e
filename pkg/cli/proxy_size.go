package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// byteSize is a flag that holds a number of bytes: 33554432, 32MiB, 1.5GiB.
type byteSize struct{ to *int64 }

func newByteSize(to *int64, def int64) *byteSize {
	*to = def
	return &byteSize{to}
}

func (s *byteSize) bind(fl *pflag.FlagSet, name, usage string) { fl.Var(s, name, usage) }

// Type is what help calls the value.
func (s *byteSize) Type() string { return "SIZE" }

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func (s *byteSize) String() string {
	for _, u := range units {
		if *s.to >= u.bytes && *s.to%u.bytes == 0 {
			return strconv.FormatInt(*s.to/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(*s.to, 10)
}

// Set reads a number with or without a unit.
func (s *byteSize) Set(text string) error {
	number, unit := text, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = n, u.bytes
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v > 0) || v*float64(unit) > math.MaxInt64/2 {
		return fmt.Errorf("a size is a number above 0 of bytes, KiB, MiB or GiB, such as 32MiB")
	}
	*s.to = int64(v * float64(unit))
	return nil
}
