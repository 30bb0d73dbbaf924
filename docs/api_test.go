package docs

import "testing"

// TestAPI runs the page about the interface with curl as it stands, with a freshly
// built program and nodes that are separate processes.
func TestAPI(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program and runs nodes")
	}
	tryPage(t, "api.md", "..", func(s string) string { return s })
}
