package query

import (
	"errors"
	"slices"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func istio(pod, mesh string) xds.Sidecar {
	return xds.Sidecar{Node: "sidecar~10.0.0.9~" + pod + "~x.svc.cluster.local", Mesh: mesh}
}

var (
	web1   = istio("web-1.shop", "east")
	web10  = istio("web-10.shop", "east")
	web1b  = istio("web-1.other", "east")
	api    = istio("api.v2.shop", "east")
	apiW   = istio("api.v2.shop", "west")
	plain  = xds.Sidecar{Node: "edge", Cluster: "gateway"}
	nobody = xds.Sidecar{}
)

func TestFindSidecar(t *testing.T) {
	all := []xds.Sidecar{web1, web10, web1b, api, apiW, plain, nobody}
	for _, c := range []struct {
		arg, ns string
		want    xds.Sidecar
		near    []string
	}{
		{arg: "web-1.shop", want: web1},
		{arg: "web-1", ns: "shop", want: web1},
		{arg: "web-10", want: web10},
		{arg: "web-1", near: []string{"web-1.other", "web-1.shop"}},
		{arg: "web-1.o", want: web1b},
		{arg: "ed", want: plain},
		{arg: "api.v2.shop", near: []string{"api.v2.shop/east", "api.v2.shop/west"}},
		{arg: "api.v2.shop/west", want: apiW},
		{arg: "web-2.shop", near: []string{"web-1.shop", "web-10.shop"}},
		{arg: "", ns: "other", want: web1b},
		{arg: "?", want: nobody},
		{arg: web10.Node, want: web10},
	} {
		got, err := FindSidecar(all, c.arg, c.ns)
		if c.near == nil {
			if err != nil || got != c.want {
				t.Errorf("%q -n %q: %v, %v", c.arg, c.ns, got, err)
			}
			continue
		}
		var se *SidecarError
		if !errors.As(err, &se) || !slices.Equal(se.Near[:min(len(se.Near), len(c.near))], c.near) {
			t.Errorf("%q -n %q: %v %+v", c.arg, c.ns, err, se)
		}
	}
}

func TestFindSidecarWithoutArgument(t *testing.T) {
	if s, err := FindSidecar([]xds.Sidecar{web1, nobody}, "", ""); err != nil || s != web1 {
		t.Errorf("the only one with a name: %v, %v", s, err)
	}
	if s, err := FindSidecar([]xds.Sidecar{nobody}, "", ""); err != nil || s != nobody {
		t.Errorf("the only one: %v, %v", s, err)
	}
	for _, all := range [][]xds.Sidecar{nil, {web1, web10}} {
		if s, err := FindSidecar(all, "", ""); err == nil {
			t.Errorf("%d sidecars: chose %v", len(all), s)
		}
	}
}

func TestLabels(t *testing.T) {
	l := Labels([]xds.Sidecar{web1, api, apiW})
	if l[web1] != "web-1.shop" || l[api] != "api.v2.shop/east" || l[apiW] != "api.v2.shop/west" {
		t.Errorf("labels %v", l)
	}
}
