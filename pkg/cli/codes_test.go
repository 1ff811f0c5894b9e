package cli

import (
	"os"
	"regexp"
	"testing"
)

func TestEveryCodeIsDocumented(t *testing.T) {
	src, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`Code = "(XP\d{3})"`).FindAllSubmatch(src, -1)
	if len(codes) < 10 {
		t.Fatalf("found only %d codes in codes.go", len(codes))
	}
	for _, c := range codes {
		if !regexp.MustCompile(`(?m)^## ` + string(c[1]) + `: \S`).Match(doc) {
			t.Errorf("%s has no paragraph in docs/errors.md", c[1])
		}
	}
	for _, c := range regexp.MustCompile(`(?m)^## (XP\d{3})`).FindAllSubmatch(doc, -1) {
		if !regexp.MustCompile(`"` + string(c[1]) + `"`).Match(src) {
			t.Errorf("docs/errors.md explains %s, which no code is", c[1])
		}
	}
}
