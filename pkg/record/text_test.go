package record

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	r := newRedactor([]byte("k"), OpaqueBytes)
	const secret = "s3cr3t-Value"
	for _, in := range []string{
		"Authorization: Bearer " + secret, "authorization=" + secret, `{"authorization":"Basic ` + secret + `"}`,
		"cookie: a=b; session=" + secret + "; c=d", "x-api-key: " + secret, `"x-auth-token":"` + secret + `"`, "my_secret=" + secret + "&x=1",
		"password='" + secret + "'", "got bearer " + secret + " from", "https://user:" + secret + "@host/", "client_secret: " + secret,
		"-----BEGIN EC PRIVATE KEY-----\n" + secret + "\n-----END EC PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----\n" + secret,
		"jwt eyJhbGciOiJIUzI1NiJ9.eyJ" + secret + "." + secret,
	} {
		out := r.text(in)
		if strings.Contains(out, secret) || !strings.Contains(out, Marker) {
			t.Errorf("%q became %q", in, out)
		}
		if again := r.text(out); again != out {
			t.Errorf("%q became %q the second time", out, again)
		}
	}
	for _, in := range []string{"", "no such cluster", "basic authentication failed", "bearer credentials missing",
		"Error adding/updating listener(s) 0.0.0.0_3306: duplicate address", "TokenBucketValidationError.MaxTokens: value must be greater than 0",
		"token.shop.svc.cluster.local:8080: route: unknown cluster", "https://host:8080/api", "secret"} {
		if out := r.text(in); out != in {
			t.Errorf("%q became %q", in, out)
		}
	}
}

func TestNothingToRedactIsTheSameSlice(t *testing.T) {
	r := newRedactor([]byte("k"), OpaqueBytes)
	for _, s := range []string{"", "\x0a\x01a", "\x0a\x11envoy.api.unknown"} {
		b := []byte(s)
		if out := r.any(b); len(b) > 0 && &out[0] != &b[0] {
			t.Errorf("%q was copied", s)
		}
	}
}
