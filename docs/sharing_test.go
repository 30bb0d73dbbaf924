package docs

import "testing"

// TestSharing runs the page about passing an alert on as it stands: three real nodes.
func TestSharing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program and runs nodes")
	}
	tryPage(t, "sharing.md", "..", func(s string) string { return s })
}
