package traffic

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	uritemplatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestURITemplate: what Envoy's own documentation of the matcher promises, and what its parser refuses.
func TestURITemplate(t *testing.T) {
	for _, c := range []struct {
		template, path string
		want           bool
	}{
		{"/videos/*/*/*.m4s", "/videos/123414/hls/1080p5000_00001.m4s", true}, {"/videos/{file}", "/videos/1080p5000_00001.m4s", true},
		{"/**.mpd", "/content/123/india/dash/55/manifest.mpd", true}, {"/x/*", "/x/", false}, {"/x/*", "/x/y/z", false}, {"/x/**", "/x/", true},
		{"/x/**", "/x", false}, {"/{a=x/*}/y", "/x/1/y", true}, {"/{a=x/*}/y", "/z/1/y", false}, {"/x", "/x", true}, {"/x", "/xy", false},
		{"/x/{n}/z", "/x/%20/z", true}, {"/x/*", "/x/a*b", false}, {"/{a=**}", "/", true}, {"/x/", "/x/", true}, {"/a.b", "/aXb", false},
	} {
		expr, ok := templateRegex(c.template)
		if match := compileRegex(expr); !ok || match == nil || match(c.path) != c.want {
			t.Errorf("%s on %s: %v (%s), want %v", c.template, c.path, ok, expr, c.want)
		}
	}
	for _, bad := range []string{"x", "/v{version}/x", "/{1}", "/{a}{b}", "/*x/y", "/{a", "/x//y", "/{a=}", "/x?y"} {
		if expr, ok := templateRegex(bad); ok {
			t.Errorf("%s is understood as %s", bad, expr)
		}
	}
}

// TestTemplateRoute: a route with a template has a name, and a request that it takes.
func TestTemplateRoute(t *testing.T) {
	a, err := anypb.New(&uritemplatev3.UriTemplateMatchConfig{PathTemplate: "/x/{id}"})
	if err != nil {
		t.Fatal(err)
	}
	m := compileMatchOf(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_PathMatchPolicy{PathMatchPolicy: &corev3.TypedExtensionConfig{Name: "t", TypedConfig: a}}})
	if m.String() != "path template /x/{id}" || m.guard().opaque {
		t.Errorf("%s: %+v", m.String(), m.guard())
	}
	for path, want := range map[string]bool{"/x/1": true, "/x/1?y": true, "/x/1/2": false} {
		if got := m.matches(newRequest(xds.Signal{Kind: xds.HTTP11, Path: path}), false); got.yes != want || got.unsure != "" {
			t.Errorf("%s: %+v", path, got)
		}
	}
}
