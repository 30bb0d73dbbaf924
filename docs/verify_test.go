package docs

import (
	"os"
	"os/exec"
	"testing"
)

// TestVerifyByHand runs the page that proves an alert with stock tools, as it
// stands. In CI all of them must be there.
func TestVerifyByHand(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"openssl", "sha256sum", "protoc", "base64", "od", "tar"} {
		_, err := exec.LookPath(tool)
		if err != nil && os.Getenv("CI") == "true" {
			t.Fatalf("%s is needed in CI: %v", tool, err)
		}
		if err != nil {
			t.Skipf("%s is not here: %v", tool, err)
		}
	}
	tryPage(t, "verify-by-hand.md", "..", func(s string) string { return s })
}
