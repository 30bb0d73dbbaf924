package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"
)

// entry is a line of docs/dependencies.md like "* `module`: why".
var entry = regexp.MustCompile("(?m)^\\* `([^`]+)`(: .+)?$")

// documented lists the modules of one section of docs/dependencies.md.
func documented(t *testing.T, heading string) []string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(body), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/dependencies.md has no section %q", heading)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	var out []string
	for _, m := range entry.FindAllStringSubmatch(section, -1) {
		if len(m[2]) < len(": a reason") {
			t.Errorf("docs/dependencies.md gives no reason for %s", m[1])
		}
		out = append(out, m[1])
	}
	return out
}

// parse reads a go.mod file of the project.
func parse(t *testing.T, name string) *modfile.File {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse(name, body, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// used lists the modules that the project's files import, in code or only in
// tests.
func used(t *testing.T, mod *modfile.File) (code, tests []string) {
	t.Helper()
	inCode, inTests := map[string]bool{}, map[string]bool{}
	for _, s := range all(t) {
		for _, p := range s.imports() {
			name := ""
			for _, r := range mod.Require {
				if in(p, r.Mod.Path) && len(r.Mod.Path) > len(name) {
					name = r.Mod.Path
				}
			}
			switch {
			case name == "":
			case s.test || in(s.room, testRooms...):
				inTests[name] = true
			default:
				inCode[name] = true
			}
		}
	}
	for name := range inCode {
		code = append(code, name)
		delete(inTests, name)
	}
	for name := range inTests {
		tests = append(tests, name)
	}
	slices.Sort(code)
	slices.Sort(tests)
	return code, tests
}

func sorted(list ...string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func TestEveryDependencyHasItsReason(t *testing.T) {
	t.Parallel()
	mod := parse(t, "go.mod")
	code, tests := used(t, mod)
	if diff := cmp.Diff(code, sorted(documented(t, "In the programme")...)); diff != "" {
		t.Errorf("modules that code imports (-) and those with a reason (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(tests, sorted(documented(t, "In tests only")...)); diff != "" {
		t.Errorf("modules that only tests import (-) and those with a reason (+) differ:\n%s", diff)
	}
}

func TestDirectRequirementsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	var direct []string
	for _, r := range parse(t, "go.mod").Require {
		if !r.Indirect {
			direct = append(direct, r.Mod.Path)
		}
	}
	want := sorted(append(documented(t, "In the programme"), documented(t, "In tests only")...)...)
	if diff := cmp.Diff(sorted(direct...), want); diff != "" {
		t.Errorf("direct requirements of go.mod (-) and those with a reason (+) differ; go mod tidy?\n%s", diff)
	}
}

func TestEveryToolHasItsReason(t *testing.T) {
	t.Parallel()
	var tools []string
	for _, name := range []string{"go.mod", "tools/go.mod"} {
		for _, tool := range parse(t, name).Tool {
			tools = append(tools, tool.Path)
		}
	}
	if diff := cmp.Diff(sorted(tools...), sorted(documented(t, "Tools")...)); diff != "" {
		t.Errorf("tools of go.mod and tools/go.mod (-) and those with a reason (+) differ:\n%s", diff)
	}
}

// The budget keeps the number of strangers small.
func TestDependenciesStayWithinTheirBudget(t *testing.T) {
	t.Parallel()
	const budget = 18
	if n := len(documented(t, "In the programme")); n > budget {
		t.Errorf("%d modules in the programme, more than %d", n, budget)
	}
}
