package docs

import (
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the commands of the README. The demo plays without pauses;
// the tests do not run themselves.
func TestReadme(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it runs the demo")
	}
	tryPage(t, "../README.md", "..", func(commands string) string {
		return strings.ReplaceAll(commands, "karaula demo\n", "karaula demo --speed 0 2> /dev/null\n")
	})
}

// TestReadmeNamesTargets holds the commands that are not run by TestReadme
// against the Makefile.
func TestReadmeNamesTargets(t *testing.T) {
	t.Parallel()
	makefile := readPage(t, "../Makefile")
	skipped := 0
	for _, b := range blocks(t, readPage(t, "../README.md")) {
		if !b.skipped() {
			continue
		}
		skipped++
		target, ok := strings.CutPrefix(b.text, "make ")
		if !ok || !regexp.MustCompile(`(?m)^`+strings.TrimSpace(target)+`:`).MatchString(makefile) {
			t.Errorf("line %d: no target of the Makefile: %s", b.line, b.text)
		}
	}
	if skipped != 1 {
		t.Errorf("%d blocks are not run, 1 was expected", skipped)
	}
}
