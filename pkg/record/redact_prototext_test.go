package record

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// TestTextOfMessages: as Envoy prints messages that it rejects, a secret in each.
func TestTextOfMessages(t *testing.T) {
	const secret = `s3cr3t Value`
	r := newRedactor([]byte("k"), OpaqueBytes)
	for _, in := range []string{
		`request_headers_to_add { header { key: "authorization" value: "SECRET" } }`,
		`request_headers_to_add { header { value: "SECRET" key: "Authorization" } append_action: ADD }`,
		"request_headers_to_add {\n  header {\n    key: \"x-auth-token\"\n    value: \"SECRET\"\n  }\n}\n",
		`header { key: "cookie" raw_value: "SECRET" }`,
		`header { raw_value: "SECRET" key: "x-api-key" }`,
		`header { key: "authorization" value: "Bearer \"SECRET\" \\" }`,
		`header { key: "authorization" value: "\101 SECRET`, // cut off
		`header: < key: "authorization" value: "SECRET" >`,
		`key: 'authorization' value: 'SECRET'`,
		`header { key: "authorization" value: "a" "SECRET" }`,
		`it's the listener's "fault: header { key: "authorization" value: "SECRET" }`,
		`private_key { inline_string: "SECRET" }`, `private_key { inline_bytes: "SECRET\n\001" }`,
		`default_source_code { inline_string: "SECRET" }`, `password { inline_string: "SECRET" }`, `password: "SECRET"`,
		`user: "SECRET"`, `users { inline_string: "bob:{SHA}SECRET" }`, `session_ticket_keys { keys { inline_bytes: "SECRET" } }`,
		`credentials { key: "SECRET" client: "bob" }`,
		`initial_metadata { key: "x-team" value: "SECRET" }`,
		`environment_variables { key_values { key: "A" value: "SECRET" } }`,
		`filter_metadata { key: "m" value { fields { key: "password" value { string_value: "SECRET" } } } }`,
		`fields { key: "password" value { list_value { values { string_value: "SECRET" } } } }`,
		`typed_config { [type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret] { generic_secret { secret { inline_string: "SECRET" } } } }`,
		`typed_config { type_url: "type.googleapis.com/unknown" value: "\n\rauthorization\022\006SECRET" }`,
		`headers { name: "authorization" string_match { exact: "SECRET" } }`, `headers { name: "x-api-key" exact_match: "SECRET" }`,
		`headers { safe_regex_match { google_re2 { } regex: "SECRET.*" } name: "cookie" }`,
		`{"header":{"key":"authorization","value":"SECRET"}}`, `{"value": "SECRET", "key": "authorization"}`,
		`{"privateKey":{"inlineString":"SECRET"}}`, `{"private_key": {"inline_bytes": "SECRET"}}`,
		`{"headers":[{"name":"authorization","stringMatch":{"prefix":"SECRET"}}]}`,
		`{"message":"header { key: \"authorization\" value: \"SECRET \\\" x\" }"}`,
		`{"message":"{\"key\":\"authorization\",\"value\":\"SECRET\"}"}`,
		"- header:\n    key: authorization\n    value: SECRET\n",
	} {
		in = `Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts: ["value length"]): name: "visible" ` + strings.ReplaceAll(in, "SECRET", secret)
		out := r.text(in)
		if strings.Contains(out, "s3cr3t") || strings.Contains(out, "Value") || !strings.Contains(out, Marker) || !strings.Contains(out, `name: "visible"`) {
			t.Errorf("%s\nbecame\n%s", in, out)
		}
		if again := r.text(out); again != out {
			t.Errorf("%s\nbecame\n%s\nthe second time", out, again)
		}
	}
}

func TestTextOfMessagesStaysReadable(t *testing.T) {
	r := newRedactor([]byte("k"), OpaqueBytes)
	for _, in := range []string{
		`name: "token-svc" virtual_hosts { name: "secret-host" domains: "token.shop" routes { match { prefix: "/token" } route { cluster: "outbound|80||token.shop.svc" } } }`,
		`header { key: "x-team" value: "shop" } request_headers_to_remove: "authorization"`,
		`tls_certificate_sds_secret_configs { name: "default" sds_config { api_config_source { api_type: GRPC cluster_names: "sds-grpc" } } }`,
		`certificate_chain { filename: "/etc/certs/token/chain.pem" }`,
		`{"key":"user-agent","value":"x"} at "cookie-svc", "b"`, `user-agent: "curl"`,
		`headers { name: "x-version" string_match { exact: "v2" } } inline`,
		`typed_config { type_url: "type.googleapis.com/envoy.Token" }`,
		`metadata: }}} " { '`,
	} {
		if out := r.text(in); out != in {
			t.Errorf("%s\nbecame\n%s", in, out)
		}
	}
}

// TestRealRejections: what Envoy said in the recordings stays word by word.
func TestRealRejections(t *testing.T) {
	r := newRedactor([]byte("k"), OpaqueBytes)
	for _, name := range []string{"07-nack", "30-envoy-gateway-delta", "32-gcp-ads-sotw-ttl"} {
		texts := rejections(t, "../../test/recordings/"+name+"/session.jsonl.gz")
		if len(texts) == 0 {
			t.Errorf("%s holds no rejection", name)
		}
		for _, in := range texts {
			if out := r.text(in); out != in {
				t.Errorf("%s: %q became %q", name, in, out)
			}
			wrapped := in + `: request_headers_to_add { header { key: "authorization" value: "SECRET" } }`
			if out := r.text(wrapped); strings.Contains(out, "SECRET") || !strings.HasPrefix(out, in) {
				t.Errorf("%s: %q became %q", name, wrapped, out)
			}
		}
	}
}

// rejections are the error messages of a recorded session's requests.
func rejections(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for d := json.NewDecoder(z); ; {
		var line struct {
			Event, Method string
			Stream        int
			Raw           []byte
		}
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		if line.Event != "request" {
			continue
		}
		for _, num := range []protowire.Number{6, 7} { // error_detail, of either protocol
			if m := lookup(lookup(line.Raw, num), 2); len(m) > 0 && lookup(line.Raw, num)[0] == 1<<3 {
				out = append(out, string(m))
			}
		}
	}
}

// FuzzText: no text is too odd, or takes long.
func FuzzText(f *testing.F) {
	f.Add(`a { key: "authorization" value: "x\"" } \\\ {"key":"token","value":'y'} "m":"{\"inline_string\": \"z\"}"`)
	f.Add(`- name: cookie` + "\n  value: a=b")
	r := newRedactor([]byte("k"), OpaqueBytes)
	f.Fuzz(func(t *testing.T, s string) {
		const secret = "s3cr3tV4lue"
		out := r.text(s + "\n} \" ' header { key: \"authorization\" value: \"" + secret + "\" }")
		if strings.Contains(out, secret) {
			t.Errorf("%q shows the secret", out)
		}
	})
}

// TestLongTextEnds: what grows with the square of a text would not end in a
// test's time.
func TestLongTextEnds(t *testing.T) {
	r := newRedactor([]byte("k"), OpaqueBytes)
	for _, part := range []string{`\`, `"`, `{`, `:"`, `"\`, `{"token":`, `a: 'b`} {
		r.protoText(strings.Repeat(part, 1<<20/len(part)))
	}
}
