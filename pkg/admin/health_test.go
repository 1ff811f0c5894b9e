package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"testing"
)

// TestHealthAsJSON: what is degraded is told reason by reason, and alive.
func TestHealthAsJSON(t *testing.T) {
	reasons := []string{"store: disk full", "upstream: away"}
	url := start(t, Config{Ready: func(context.Context) error { return errors.New("no route") }, Reasons: func() []string { return reasons }})
	for path, want := range map[string]Health{
		"/healthz?format=json": {Degraded, reasons},
		"/readyz?format=json":  {NotReady, append([]string{"no route"}, reasons...)},
	} {
		status, body := get(t, url+path)
		var got Health
		if err := json.Unmarshal([]byte(body), &got); err != nil || !reflect.DeepEqual(got, want) || (status == http.StatusOK) != (want.Status == Degraded) {
			t.Errorf("%s: %d %q (%v), want %+v", path, status, body, err, want)
		}
	}
	url = start(t, Config{})
	if _, body := get(t, url+"/readyz?format=json"); body != `{"status":"ok","reasons":[]}`+"\n" {
		t.Errorf("%q", body)
	}
	url = start(t, Config{Degraded: func() string { return "store: away" }})
	if _, body := get(t, url+"/healthz?format=json"); body != `{"status":"degraded","reasons":["store: away"]}`+"\n" {
		t.Errorf("%q", body)
	}
}
