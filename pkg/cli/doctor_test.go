package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/admin"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// ill is a store with one sidecar and records at the times given, before testNow.
func ill(t *testing.T, more func(dir string), recs ...xds.Record) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.OpenWriter(store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range recs {
		if err := w.Append(recs[i:i+1], nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if more != nil {
		more(dir)
	}
	return dir
}

func opened(ago time.Duration) xds.Record {
	return xds.Record{Kind: xds.KindOpen, Stream: 1, Time: testNow.Add(-ago), Sidecar: xds.Sidecar{Node: "web"}, Open: &xds.Open{Method: "/x"}}
}

func lostSome(ago time.Duration) xds.Record {
	return xds.Record{Kind: xds.KindGap, Time: testNow.Add(-ago), Gap: &xds.Gap{Reason: "queue full"}}
}

// diagnose gives the findings by check, and the exit status.
func diagnose(t *testing.T, args ...string) (map[string]Finding, int) {
	t.Helper()
	r := run(t, "", append([]string{"doctor", "-o", "json"}, args...)...)
	var report DoctorReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v: %s%s", err, r.stdout, r.err)
	}
	out := map[string]Finding{}
	for _, f := range report.Checks {
		out[f.Check] = f
		if found := f.Status == StatusWarn || f.Status == StatusFail; found != (f.Code != "") || found && (f.Why == "" || f.Try == "") {
			t.Errorf("incomplete: %+v", f)
		}
	}
	if report.OK != (r.exit == ExitOK) || len(out) != len(doctorChecks()) {
		t.Errorf("ok %v, exit %d, %d checks", report.OK, r.exit, len(out))
	}
	return out, r.exit
}

// TestDoctorOnAStore: each illness is found by its check, with its code, and by no
// other; a healthy store has none.
func TestDoctorOnAStore(t *testing.T) {
	flip := func(dir string) {
		files, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		b[100] ^= 1
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	share := func(dir string) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	handled := func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, resumeFile), []byte(`{"seq":1,"time":"2026-11-22T19:00:00Z"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fresh := opened(time.Minute)
	for name, c := range map[string]struct {
		dir   string
		check string
		code  Code
		says  string
	}{
		"healthy":       {ill(t, nil, fresh), "", "", ""},
		"empty":         {ill(t, nil), "recording", CodeNothingRecorded, "nothing was ever recorded"},
		"open to all":   {ill(t, share, fresh), "access", CodeOpenStore, "can be used by others"},
		"a gap":         {ill(t, nil, fresh, lostSome(time.Second)), "gaps", CodeGaps, "1 gap in the last hour of the history, the last one at 2026-11-22T19:59:59Z: queue full"},
		"an old gap":    {ill(t, nil, lostSome(2*time.Hour), fresh), "", "", ""},
		"future":        {ill(t, nil, opened(-time.Hour)), "clock", CodeClock, "the newest record is of 60m from now"},
		"back in time":  {ill(t, nil, fresh, opened(time.Hour)), "clock", CodeClock, "set back while recording, once by 59m0s"},
		"judge is late": {ill(t, handled, opened(time.Hour), opened(50*time.Minute)), "judge", CodeJudgeBehind, "1 record behind, the oldest 50m old"},
		"judge is busy": {ill(t, handled, opened(time.Hour), opened(10*time.Second)), "", "", ""},
		"no store":      {t.TempDir(), "store", CodeNoSource, "is not a store"},
		"damaged":       {ill(t, flip, fresh, lostSome(2*time.Hour)), "damage", CodeStoreDamaged, "damaged at"},
	} {
		got, exit := diagnose(t, "--store", c.dir, "--admin", "off")
		if (exit == ExitFound) != (c.check != "") {
			t.Errorf("%s: exit %d", name, exit)
		}
		for check, f := range got {
			switch {
			case check == c.check:
				if f.Code != c.code || !strings.Contains(f.What, c.says) {
					t.Errorf("%s: %+v", name, f)
				}
			case f.Code != "" && name != "damaged": // a damaged store has other symptoms too
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

// serveHealth runs an admin server.
func serveHealth(t *testing.T, reasons ...string) string {
	t.Helper()
	s, err := admin.New(admin.Config{Addr: "127.0.0.1:0", Reasons: func() []string { return reasons }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s.Addr().String()
}

// closedPort is an address that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestDoctorOnAProxy: alive, degraded and not there are three things.
func TestDoctorOnAProxy(t *testing.T) {
	dir := ill(t, nil, opened(time.Minute))
	for name, c := range map[string]struct {
		admin  string
		status string
		code   Code
		says   string
	}{
		"alive":    {serveHealth(t), StatusOK, "", "alive at"},
		"a URL":    {"http://" + serveHealth(t) + "/", StatusOK, "", "alive at"},
		"degraded": {serveHealth(t, "store: disk full", "upstream: away"), StatusWarn, CodeDegraded, "store: disk full; upstream: away"},
		"nobody":   {closedPort(t), StatusFail, CodeNoProxy, "connection refused"},
	} {
		got, _ := diagnose(t, "--store", dir, "--admin", c.admin)
		if f := got["proxy"]; f.Status != c.status || f.Code != c.code || !strings.Contains(f.What+f.Why, c.says) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	p := &patient{app: &App{}, now: testNow, o: doctorOptions{admin: closedPort(t)}}
	p.o.store = dir
	if f := checkProxy(t.Context(), p); f.Status != StatusSkip {
		t.Errorf("a store alone: %+v", f)
	}
	p.o.store = "" // it is where a proxy writes usually
	if f := checkProxy(t.Context(), p); f.Code != CodeNoProxy {
		t.Errorf("the usual store: %+v", f)
	}
	w, err := store.OpenWriter(store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got, _ := diagnose(t, "--store", dir, "--admin", closedPort(t)); got["proxy"].Status != StatusWarn || got["proxy"].Code != CodeNoProxy {
		t.Errorf("someone writes: %+v", got["proxy"])
	}
}

// TestDoctorOnUpstream: the control plane, and the certificates that are named.
func TestDoctorOnUpstream(t *testing.T) {
	dir := ill(t, nil, opened(time.Minute))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		args   []string
		check  string
		status string
		says   string
	}{
		"reachable":   {[]string{"--upstream", l.Addr().String()}, "upstream", StatusOK, "answers"},
		"unreachable": {[]string{"--upstream", closedPort(t)}, "upstream", StatusFail, "connection refused"},
		"no address":  {[]string{"--upstream", "nowhere"}, "upstream", StatusFail, "--upstream"},
		"holds":       {[]string{"--upstream-ca", certificates(t, -day, 300*day)}, "certificates", StatusOK, "holds until 2027-09-18"},
		"one holds":   {[]string{"--upstream-ca", certificates(t, -2*day, -day, -day, 300*day)}, "certificates", StatusOK, "holds until"},
		"soon":        {[]string{"--upstream-ca", certificates(t, -300*day, 3*day)}, "certificates", StatusWarn, "ends in 3d"},
		"of a day":    {[]string{"--upstream-ca", certificates(t, -12*time.Hour, 12*time.Hour)}, "certificates", StatusOK, "holds until"},
		"over":        {[]string{"--upstream-ca", certificates(t, -2*day, -day)}, "certificates", StatusFail, "has ended at"},
		"not yet":     {[]string{"--upstream-ca", certificates(t, day, 2*day)}, "certificates", StatusFail, "does not hold before"},
		"none in it":  {[]string{"--upstream-ca", "doctor_test.go"}, "certificates", StatusFail, "doctor_test.go"},
		"not there":   {[]string{"--upstream-ca", "nowhere.pem"}, "certificates", StatusFail, "nowhere.pem"},
	} {
		got, exit := diagnose(t, append([]string{"--store", dir, "--admin", "off"}, c.args...)...)
		f := got[c.check]
		if f.Status != c.status || !strings.Contains(f.What+f.Why, c.says) || (exit == ExitOK) != (c.status == StatusOK) {
			t.Errorf("%s: exit %d %+v", name, exit, f)
		}
	}
}

// certificates writes a PEM file of certificates that hold from and to these times
// after testNow.
func certificates(t *testing.T, spans ...time.Duration) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for i := 0; i < len(spans); i += 2 {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
			NotBefore: testNow.Add(spans[i]), NotAfter: testNow.Add(spans[i+1])}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
