package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notSlug = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// pages lists the README and every page below docs.
func pages(t *testing.T) []string {
	t.Helper()
	out := []string{"../README.md"}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withoutCode takes fenced blocks out of a page.
func withoutCode(page string) string {
	var out strings.Builder
	code := false
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "```") {
			code = !code
		} else if !code {
			out.WriteString(line)
		}
	}
	return out.String()
}

// anchors gives what links to headings of a page may end with.
func anchors(page string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(withoutCode(page), -1) {
		slug := notSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return out
}

// TestLinks follows every link from one page to a file of the project, and to
// the heading that it names.
func TestLinks(t *testing.T) {
	t.Parallel()
	followed := 0
	for _, path := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(withoutCode(readPage(t, path)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(path), file)
			if file == "" {
				target = path
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			} else if anchor != "" && !anchors(readPage(t, target))[anchor] {
				t.Errorf("%s links to %s, which has no such heading", path, m[1])
			}
		}
	}
	if followed < 20 {
		t.Errorf("only %d links were followed", followed)
	}
}

// TestIndex sees that the index names every page.
func TestIndex(t *testing.T) {
	t.Parallel()
	index := readPage(t, "README.md")
	for _, path := range pages(t) {
		if path == "../README.md" || path == "README.md" || strings.HasPrefix(path, "adr") {
			continue
		}
		if !strings.Contains(index, "("+filepath.ToSlash(path)+")") {
			t.Errorf("the index does not name %s", path)
		}
	}
}

// TestFootnote sees that no page names Kosovo without the star and its footnote.
func TestFootnote(t *testing.T) {
	t.Parallel()
	const star, note = "Kosovo", "without prejudice to positions on status"
	for _, path := range pages(t) {
		page := readPage(t, path)
		if !strings.Contains(page, star) {
			continue
		}
		if !strings.Contains(page, note) {
			t.Errorf("%s names Kosovo* without its footnote", path)
		}
		for i := range strings.Count(page, star) {
			rest := strings.SplitN(page, star, i+2)[i+1]
			if !strings.HasPrefix(rest, "*") && !strings.HasPrefix(rest, `\*`) &&
				!strings.HasPrefix(rest, ": This designation") && !strings.HasPrefix(rest, " declaration of independence") {
				t.Errorf("%s names Kosovo without the star: Kosovo%.20s", path, rest)
			}
		}
	}
}
