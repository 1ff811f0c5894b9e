package cli

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// importedStore is a store with the seed recording in it.
func importedStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if r := run(t, "", "import", recordings+"01-seed-mysql-delta/session.jsonl.gz", "--store", dir, "-q"); r.exit != 0 {
		t.Fatalf("%+v", r)
	}
	return dir
}

func TestStoreStat(t *testing.T) {
	dir := importedStore(t)
	r := run(t, "", "store", "stat", "--store", dir)
	if r.exit != 0 || r.err != "" {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{"segments", "sidecars       1\n", "  push", "bytes on disk"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.stdout)
		}
	}
	var st StoreStat
	r = run(t, "", "store", "stat", "--store", dir, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &st); err != nil || st.APIVersion != "xdsproxy/v1" || st.Records["push"] == 0 || st.Damaged != 0 {
		t.Errorf("%v: %+v", err, st)
	}
}

func TestStoreVerify(t *testing.T) {
	dir := importedStore(t)
	if r := run(t, "", "store", "verify", "--store", dir); r.exit != 0 || r.err != "" || !strings.Contains(r.stdout, " is whole: ") {
		t.Fatalf("%+v", r)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, "", "store", "verify", "--store", dir)
	if r.exit != ExitData || !strings.Contains(r.stdout, filepath.Base(files[0])) || !strings.Contains(r.err, string(CodeStoreDamaged)) {
		t.Errorf("%+v", r)
	}
	var rep StoreReport
	r = run(t, "", "store", "verify", "--store", dir, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &rep); err != nil || r.exit != ExitData || rep.OK || len(rep.Problems) == 0 {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestStoreVerifyTellsATornEnd(t *testing.T) {
	dir := importedStore(t)
	files, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	info, err := os.Stat(files[0])
	if err == nil {
		err = os.Truncate(files[0], info.Size()-3)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := run(t, "", "store", "verify", "--store", dir); r.exit != 0 || !strings.Contains(r.err, "never finished") || !strings.Contains(r.stdout, " is whole: ") {
		t.Errorf("%+v", r)
	}
}

func TestStoreVerifyWithoutAStore(t *testing.T) {
	if r := run(t, "", "store", "verify"); r.exit == 0 || !strings.Contains(r.err, "--store") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "store", "verify", "--store", t.TempDir()); r.exit == 0 || !strings.Contains(r.err, "is not a store") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "store", "frobnicate"); r.exit != ExitUsage {
		t.Errorf("%+v", r)
	}
}

// TestStoreNewer: a store of a later format is not damaged, and nobody forwards.
func TestStoreNewer(t *testing.T) {
	dir := importedStore(t)
	files, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(b[8:], 200)
		binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crc32.MakeTable(crc32.Castagnoli)))
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"stat", "verify"} {
		r := run(t, "", "store", command, "--store", dir)
		if r.exit != ExitData || !strings.Contains(r.err, string(CodeNewer)) || strings.Contains(r.err, "forwarding") {
			t.Errorf("%s: %+v", command, r)
		}
	}
}
