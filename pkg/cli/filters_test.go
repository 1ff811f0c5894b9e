package cli

import (
	"slices"
	"testing"
)

func TestTakeFilter(t *testing.T) {
	for _, c := range []struct {
		args, rest []string
		filter     string
	}{
		{[]string{"web-1.shop"}, []string{"web-1.shop"}, ""},
		{[]string{"web-1.shop", "port:3306"}, []string{"web-1.shop"}, "port:3306"},
		{[]string{"not", "kind:nack", "web-1.shop", "type:lds"}, []string{"web-1.shop"}, "type:lds not kind:nack"},
		{[]string{`name:"a b"`, "cluster:7"}, []string{"cluster:7"}, `name:a\ b`},
	} {
		rest, f, err := takeFilter(c.args)
		if err != nil || !slices.Equal(rest, c.rest) || f.String() != c.filter {
			t.Errorf("%q: %q %q %v", c.args, rest, f, err)
		}
	}
	if _, _, err := takeFilter([]string{"not", "web"}); err == nil {
		t.Error("a word without a key behind not is taken")
	}
}
