package docs

import "testing"

// TestTutorial runs the tutorial as it stands, with a freshly built program and
// nodes that are separate processes.
func TestTutorial(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program and runs nodes")
	}
	tryPage(t, "tutorial.md", "..", func(s string) string { return s })
}
