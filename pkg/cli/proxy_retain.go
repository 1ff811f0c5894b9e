package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/xdsproxy/xdsproxy/pkg/store"
)

// What a proxy keeps unless it is told otherwise.
const (
	retainAge   = 7 * 24 * time.Hour
	retainBytes = 256 << 20
	minFree     = 64 << 20
)

// retainOptions says how much history is kept, and when recording stops.
type retainOptions struct {
	age            time.Duration
	bytes, minFree int64
}

func (o *retainOptions) bind(fl *pflag.FlagSet) {
	fl.Var(newAge(&o.age, retainAge), "retain-age", "delete history that is older: 7d, 36h; 0: never")
	fl.Var(newLimit(&o.bytes, retainBytes), "retain-bytes", "delete the oldest history where the store is larger; 0: never. The newest segment stays in any case")
	fl.Var(newLimit(&o.minFree, minFree), "min-free", "stop recording while less is free on the store's disk, or less than 5 % where that is smaller; 0: never. Forwarding goes on")
}

// limit puts the options where the store reads them.
func (o retainOptions) limit(cfg store.Config) store.Config {
	cfg.RetainAge, cfg.RetainBytes, cfg.MinFree = o.age, o.bytes, o.minFree
	return cfg
}

// limitSize is a byteSize that may be 0, for no limit.
type limitSize struct{ *byteSize }

func newLimit(to *int64, def int64) limitSize { return limitSize{newByteSize(to, def)} }

func (s limitSize) Set(text string) error {
	if text == "0" {
		*s.to = 0
		return nil
	}
	return s.byteSize.Set(text)
}

// ageValue is a flag that holds a duration, days too; 0 for no limit.
type ageValue struct{ to *time.Duration }

func newAge(to *time.Duration, def time.Duration) ageValue {
	*to = def
	return ageValue{to}
}

// Type is what help calls the value.
func (a ageValue) Type() string { return "AGE" }

const oneDay = 24 * time.Hour

func (a ageValue) String() string {
	if *a.to == 0 {
		return "0"
	}
	if d := *a.to; d%oneDay == 0 {
		return strconv.FormatInt(int64(d/oneDay), 10) + "d"
	}
	return a.to.String()
}

// Set reads 7d, 36h, 0.
func (a ageValue) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		d = time.Duration(n * float64(oneDay))
	}
	if err != nil || d < 0 || d > 100*365*oneDay {
		return fmt.Errorf("an age is a number with d, h, m or s, such as 7d")
	}
	*a.to = d
	return nil
}
