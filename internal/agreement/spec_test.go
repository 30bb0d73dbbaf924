package agreement

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"karaula/internal/terms"
)

// page reads the specification.
func page(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/spec/agreement.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSpecByHand runs the commands of the specification on a vector: stock
// tools must come to the same digest and verify the signature, and must refuse
// a text that was changed.
func TestSpecByHand(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "openssl", "sha256sum", "sed", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	_, script, ok := strings.Cut(page(t), "```sh\n")
	script, _, closed := strings.Cut(script, "```")
	if !ok || !closed {
		t.Fatal("the page has no commands")
	}
	good, err := readVector(filepath.Join(vectorDir, "ok-complete.agreement"))
	if err != nil {
		t.Fatal(err)
	}
	bad, err := readVector(filepath.Join(vectorDir, "verification-changed.agreement"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(body []byte) (string, error) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "b01-al-me.agreement"), body, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-e", "-c", "party=al\n"+script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	a := mustLint(t, good.body)
	if out, err := run(good.body); err != nil || !strings.Contains(out, hex.EncodeToString(a.Digest[:])) {
		t.Errorf("by hand: %v\n%s", err, out)
	}
	if out, err := run(bad.body); err == nil {
		t.Errorf("a changed text verifies by hand:\n%s", out)
	}
}

// TestSpecNamesEverything: the page has every keyword, type and finding code.
func TestSpecNamesEverything(t *testing.T) {
	t.Parallel()
	text := page(t)
	words := terms.TypeWords()
	for _, r := range rules {
		words = append(words, "| `"+r.word+"` |")
	}
	for _, source := range []string{"lint.go", "parse.go", "header.go", "body.go"} {
		code, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range strings.Split(string(code), "p.fail(")[1:] {
			if parts := strings.SplitN(call, `"`, 3); len(parts) == 3 {
				words = append(words, "`"+parts[1]+"`")
			}
		}
		for _, call := range strings.Split(string(code), "p.warn(")[1:] {
			if parts := strings.SplitN(call, `"`, 3); len(parts) == 3 {
				words = append(words, "`"+parts[1]+"`")
			}
		}
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("the specification does not have %s", w)
		}
	}
	_, rest, _ := strings.Cut(text, "karaula agreement v1")
	example, _, _ := strings.Cut("karaula agreement v1"+rest, "```")
	al, me := party(t, "al"), party(t, "me")
	for _, fill := range []string{al.Root, FormatDigest(al.Next), me.Root, FormatDigest(me.Next), key(t, "dpa").vkey} {
		place := "<verifier key>"
		if strings.HasPrefix(fill, "sha256:") {
			place = "sha256:<64 hex digits>"
		}
		example = strings.Replace(example, place, fill, 1)
	}
	if example != string(sample(t)) {
		t.Errorf("the example is not the sample:\n%s", example)
	}
}
