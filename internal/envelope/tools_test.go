package envelope_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"karaula/docs/spec/vectors"
	"karaula/internal/seal"
)

// missing skips the test where a tool is not installed; in CI they all must be.
func missing(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is needed in CI: %v", what, err)
	}
	t.Skipf("%s is not here: %v", what, err)
}

// run runs a tool in a folder and gives what it says on stdout.
func run(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out
}

func put(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStockOpenSSL verifies a signature as a court's expert would: the encoded
// bytes are made with printf and cat, and nothing of ours runs.
func TestStockOpenSSL(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		missing(t, "openssl", err)
	}
	p := mustParse(t, vector(t, "envelope/good-act").Body)
	der, err := x509.MarshalPKIXPublicKey(testKey(1).Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, dir, "statement", p.StatementBytes)
	put(t, dir, "signature", p.Envelope.GetSignatures()[0].GetSig())
	put(t, dir, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	const pae = `{ printf 'DSSEv1 36 application/vnd.karaula.statement.v1 %d ' "$(($(wc -c < statement)))"` +
		"; cat statement; } > pae"
	run(t, dir, "sh", "-c", pae)
	const verify = "openssl pkeyutl -verify -rawin -pubin -inkey key.pem -sigfile signature -in pae"
	if out := run(t, dir, "sh", "-c", verify); !strings.Contains(string(out), "Verified Successfully") {
		t.Errorf("openssl says %q", out)
	}
	put(t, dir, "statement", append(p.StatementBytes[:len(p.StatementBytes)-1:len(p.StatementBytes)-1], 0))
	run(t, dir, "sh", "-c", pae)
	if err := exec.CommandContext(t.Context(), "sh", "-c", "cd '"+dir+"' && "+verify).Run(); err == nil {
		t.Error("openssl verifies another statement too")
	}
}

// TestStockSHA256Sum computes leaf and part digest with sha256sum.
func TestStockSHA256Sum(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sha256sum"); err != nil {
		missing(t, "sha256sum", err)
	}
	v := vector(t, "envelope/good-act")
	p := mustParse(t, v.Body)
	dir := t.TempDir()
	put(t, dir, "statement", p.StatementBytes)
	put(t, dir, "part", p.Envelope.GetParts()[0])
	for command, want := range map[string]string{
		`{ printf '\0'; cat statement; } | sha256sum`: v.Get("leaf"),
		"sha256sum < part": hex.EncodeToString(p.Statement.GetParts()[0].GetDigest()),
	} {
		if got, _, _ := strings.Cut(string(run(t, dir, "sh", "-c", command)), " "); got != want {
			t.Errorf("%s says %s, want %s", command, got, want)
		}
	}
}

// TestStockAge opens the sealed part with the age command, built from the very
// module that this project seals with: it gives exactly the frame, and the
// frame's hash is the commitment.
func TestStockAge(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the age command")
	}
	dir := t.TempDir()
	module := strings.Fields(string(run(t, ".", "go", "list", "-m", "filippo.io/age")))
	install := exec.CommandContext(t.Context(), "go", "install", "filippo.io/age/cmd/age@"+module[len(module)-1])
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Logf("%s", out)
		missing(t, "the age command", err)
	}
	sealed := vector(t, "seal/sealed-first")
	p := mustParse(t, vector(t, "envelope/good-act").Body)
	put(t, dir, "part.age", p.Envelope.GetParts()[0])
	put(t, dir, "identity", []byte(sealed.Get("identity")+"\n"))
	run(t, dir, "./age", "--decrypt", "-i", "identity", "-o", "frame", "part.age")
	frame, err := os.ReadFile(filepath.Join(dir, "frame"))
	if err != nil {
		t.Fatal(err)
	}
	inner, err := seal.Unframe(frame)
	if err != nil || hex.EncodeToString(inner) != sealed.Get("inner") {
		t.Errorf("age gives another frame: %v", err)
	}
	want := hex.EncodeToString(p.Statement.GetParts()[0].GetCommitment())
	if got, _, _ := strings.Cut(string(run(t, dir, "sha256sum", "frame")), " "); got != want {
		t.Errorf("the commitment is %s, sha256sum says %s", want, got)
	}
}

func vector(t *testing.T, name string) *vectors.Vector {
	t.Helper()
	v, err := vectors.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
