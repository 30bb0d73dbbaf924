package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"karaula/internal/problem"
)

var update = flag.Bool("update", false, "write the reference in docs/cli.md anew")

// tree makes the tree of commands with streams that nobody reads.
func tree() *cobra.Command {
	var out bytes.Buffer
	return newRoot(newApp(strings.NewReader(""), &out, &out, time.Now))
}

func TestCLIPageHasEveryCommand(t *testing.T) {
	t.Parallel()
	root := tree()
	want := reference(t, root)
	written, got := readPage(t)
	if *update {
		if err := os.WriteFile(pageFile, []byte(written+generated+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/cli.md differs from the commands (-want +page), write it with -update:\n%s", diff)
	}
	for path := range results {
		if c, rest, err := root.Find(strings.Fields(path)[1:]); err != nil || len(rest) > 0 || c.CommandPath() != path {
			t.Errorf("results names %q, which is no command", path)
		}
	}
}

func TestCLIPageHasEveryExitCode(t *testing.T) {
	t.Parallel()
	written, _ := readPage(t)
	for kind := problem.Kind(1); kind <= 10; kind++ {
		if kind.String() == problem.Failed.String() && kind != problem.Failed {
			continue // a number that is not used
		}
		if !strings.Contains(written, fmt.Sprintf("| %d | ", int(kind))) {
			t.Errorf("docs/cli.md does not list exit code %d (%s)", int(kind), kind)
		}
	}
}

// Every command says what it does, takes and shows; in one style.
func TestEveryCommandIsExplained(t *testing.T) {
	t.Parallel()
	walk(tree(), func(c *cobra.Command) {
		if c.RunE == nil || c.Run != nil {
			t.Errorf("%s: commands run by RunE, and groups are made by group", c.CommandPath())
		}
		if c.Short == "" || strings.ToLower(c.Short[:1]) != c.Short[:1] || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q is not a short description in lower case without a full stop", c.CommandPath(), c.Short)
		}
		if !c.HasSubCommands() && !strings.HasPrefix(c.Example, "  ") {
			t.Errorf("%s has no examples, indented by two spaces", c.CommandPath())
		}
		if c.Args == nil {
			t.Errorf("%s takes any arguments; say positional(…)", c.CommandPath())
		}
		_, documented := results[c.CommandPath()]
		silent := strings.HasPrefix(c.CommandPath(), "karaula completion") || c.Name() == "help"
		if !c.HasSubCommands() && !documented && !silent {
			t.Errorf("%s prints something that results does not list", c.CommandPath())
		}
	})
}

// broken is a stream that takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestAResultThatCannotBeWrittenIsAFailure(t *testing.T) {
	t.Parallel()
	for _, form := range []string{formatTable, formatJSON} {
		var stderr bytes.Buffer
		a := newApp(strings.NewReader(""), broken{}, &stderr, time.Now)
		if code := a.execute(context.Background(), []string{"version", "--output", form}); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		if want := "karaula: the result cannot be written: no space left\n"; stderr.String() != want {
			t.Errorf("stderr %q, want %q", stderr.String(), want)
		}
	}
}

func TestErrorsOfManyLinesAreManyLinesWithThePrefix(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	a := newApp(strings.NewReader(""), broken{}, &stderr, time.Now)
	a.report(errors.Join(
		problem.New(problem.Failed, "first").WithHint("look at DIR/x; karaula status --dir DIR, not DIRT or NEWDIR"),
		problem.New(problem.Failed, "second"),
	), "/srv/al")
	want := "karaula: first\nkaraula: second\nkaraula: hint: look at /srv/al/x; karaula status --dir /srv/al, not DIRT or NEWDIR\n"
	if stderr.String() != want {
		t.Errorf("stderr %q, want %q", stderr.String(), want)
	}
}

func TestVersionReadsTheBuild(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"},
		{Key: "vcs.modified", Value: "true"},
		{Key: "vcs.time", Value: "2026-03-01T12:00:00Z"},
	}}
	var out bytes.Buffer
	version(info).page(&page{w: &out})
	if want := "karaula v1.2.3 (0123456789ab, modified) "; !strings.HasPrefix(out.String(), want) {
		t.Errorf("%q does not begin with %q", out.String(), want)
	}
	if got := version(nil).Version; got != "(devel)" {
		t.Errorf("version %q without build information", got)
	}
}

func TestTablesShowWhatIsEmpty(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &page{w: &out}
	p.table([]string{"one", "two"}, [][]string{{"", "b"}, {"long cell", ""}})
	p.fields(field{"name", "value"}, field{"nothing", ""}, field{"longer name", "x"})
	want := "ONE        TWO\n-          b\nlong cell  -\nname         value\nlonger name  x\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
