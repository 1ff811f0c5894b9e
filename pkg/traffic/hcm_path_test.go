package traffic

import "testing"

// What Envoy 1.36.2 and 1.40.0 write into :path with normalize_path; "" is a 400.
func TestNormalizedPath(t *testing.T) {
	for in, want := range map[string]string{
		"/%78": "/x", "/%7e%2d%2e%5f": "/~-._", "/a%20b": "/a%20b", "/%2e%2e/x": "/x", "/a/%2e/b": "/a/b", "/a/%2e%2E/b": "/b",
		"/a/.%2e/b": "/b", "/a%2fb": "/a%2fb", "/a%5cb": "/a%5cb", `/a\\b`: "/a//b", `/a\\..\\b`: "/a//b", "/%zz": "/%zz", "/%": "/%",
		"/%4": "/%4", "/a%00b": "", "/%41%61%30": "/Aa0", "/%3f": "/%3f", "/%23": "/%23", `/"x"<y>`: "/%22x%22%3Cy%3E",
		"/`{|}^": "/%60%7B%7C%7D%5E", "/[x]": "/[x]", "/a;b": "/a;b", "/a|b": "/a%7Cb", "/%e4%bd%a0": "/%e4%bd%a0", "/%ff": "/%ff",
		"/..": "/", "/../..": "/", "/a/..": "/", "/a/.": "/a/", "/a//../b": "/a/b", "/a/b/../../..": "/", "//a": "//a", "/%2E": "/",
		"/a/%2E": "/a/", "/x%25y": "/x%25y", "/%2F%2E%2E": "/%2F..", "/%5B": "/%5B", "/'()*!$&,=@:": "/'()*!$&,=@:",
	} {
		got := in
		if vd, ends := normalized(&got); ends {
			if got = ""; vd.Status != 400 {
				t.Errorf("%s: %+v", in, vd)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// What they write with merge_slashes.
func TestMergedSlashes(t *testing.T) {
	for in, want := range map[string]string{"//": "//", "///": "//", "//a//": "/a/", `/a\b//c`: `/a\b/c`, "/%2f//x": "/%2f/x", "/x//..//y": "/x/../y", "/": "/"} {
		if got := mergeSlashes(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
