package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// metric reads one of xdsproxy's metrics: the sum over its labels; 0 where there
// is none.
func (m *mode) metric(name string) (sum float64) {
	if m.admin == "" {
		return 0
	}
	resp, err := http.Get(fmt.Sprintf("http://%s/metrics", m.admin))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for l := bufio.NewScanner(io.LimitReader(resp.Body, 1<<20)); l.Scan(); {
		rest, ok := strings.CutPrefix(l.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			sum += v
		}
	}
	return sum
}
