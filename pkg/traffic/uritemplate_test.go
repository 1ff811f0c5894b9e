package traffic

import "testing"

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
