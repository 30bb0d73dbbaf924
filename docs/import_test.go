package docs

import "testing"

// TestImport runs the page about imports as it stands: real nodes, and an import
// that is killed in the middle.
func TestImport(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program and runs nodes")
	}
	tryPage(t, "import.md", "..", func(s string) string { return s })
}
