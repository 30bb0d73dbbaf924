package card

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The specification promises that stock tools can check a card; the commands
// that it shows are run here as they stand there.
func TestByHand(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "openssl", "base64", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	page, err := os.ReadFile("../../docs/spec/card.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, found := strings.Cut(string(page), "```sh\n")
	script, _, closed := strings.Cut(script, "```")
	if !found || !closed {
		t.Fatal("docs/spec/card.md shows no commands")
	}
	c := opened(t, later(t))
	dir := t.TempDir()
	run := func(file []byte) (string, error) {
		if err := os.WriteFile(filepath.Join(dir, "al.card"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-e", "-c", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run(c.Signed)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fingerprint := strings.ToLower(strings.ReplaceAll(c.Fingerprint(), " ", ""))
	digest := hex.EncodeToString(c.Digest[:])
	for _, want := range []string{"Signature Verified Successfully", digest, "\n" + fingerprint + "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the commands do not print %q:\n%s", want, out)
		}
	}
	if out, err := run([]byte(strings.Replace(string(c.Signed), "Policia", "Polizia", 1))); err == nil {
		t.Errorf("openssl accepts a changed card:\n%s", out)
	}
}
