package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long the commands of a page may take together. Only a page
// that hangs meets it.
const patience = 5 * time.Minute

// ran is what one sh block did.
type ran struct {
	output string   // standard output and error as they came
	failed []string // exit statuses of the commands that failed
}

// runBlocks runs the sh blocks of a page in one bash that starts in dir, with
// temporary files in a folder of the test. What the blocks leave running is
// killed at the end.
func runBlocks(t *testing.T, dir string, list []block) []ran {
	t.Helper()
	tmp := t.TempDir()
	script := filepath.Join(tmp, "page.sh")
	failures := filepath.Join(tmp, "failures")
	var text strings.Builder
	fmt.Fprintf(&text, "exec 2>&1 3>%q\ntrap 'echo $? >&3' ERR\n", failures)
	for i, b := range list {
		fmt.Fprintf(&text, "printf '\\n@@@ %d\\n'; echo '@@@ %d' >&3\n%s", i, i, b.text)
	}
	if err := os.WriteFile(script, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // background processes too
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	printed := filepath.Join(tmp, "printed") // a file: what runs on would keep a pipe open
	out, err := os.Create(printed)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // it is read by its name
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // mostly nothing is left
	}
	if ctx.Err() != nil {
		t.Errorf("the page was stopped after %s", patience)
	} else if err != nil {
		t.Logf("the last command of the page: %v", err)
	}
	outputs, failed := parts(readPage(t, printed), len(list)), parts(readPage(t, failures), len(list))
	result := make([]ran, len(list))
	for i := range list {
		result[i] = ran{outputs[i], strings.Fields(failed[i])}
	}
	return result
}

// parts cuts a text at the markers of the blocks.
func parts(text string, n int) []string {
	out := make([]string, n)
	for i := range n {
		_, rest, ok := strings.Cut(text, fmt.Sprintf("@@@ %d\n", i))
		if !ok {
			continue
		}
		out[i], _, _ = strings.Cut(rest, fmt.Sprintf("@@@ %d\n", i+1))
	}
	return out
}

// expected gives the exit statuses that a block announces.
func (b block) expected() []string {
	for _, w := range b.words {
		if list, ok := strings.CutPrefix(w, "exit="); ok {
			return strings.Split(list, ",")
		}
	}
	return nil
}

// tryPage runs a page's commands in dir, after edit has changed them, and
// compares everything that it says about them.
func tryPage(t *testing.T, path, dir string, edit func(string) string) {
	t.Helper()
	page := readPage(t, path)
	swap := newPorts(t, page)
	var commands []block
	says := map[int]block{} // output blocks, by index of their commands
	for _, b := range blocks(t, page) {
		switch {
		case b.skipped():
		case b.is("sh"):
			b.text = edit(swap.there.Replace(b.text))
			commands = append(commands, b)
		case b.is("output") && len(commands) > 0:
			says[len(commands)-1] = b
		case b.is("output"):
			t.Fatalf("%s:%d: output without commands", path, b.line)
		}
	}
	ids := meanings{}
	for i, r := range runBlocks(t, dir, commands) {
		b := commands[i]
		if !slices.Equal(r.failed, b.expected()) {
			t.Errorf("%s:%d: commands failed with %v, the page says %v; they printed:\n%s",
				path, b.line, r.failed, b.expected(), r.output)
		}
		if said, ok := says[i]; ok {
			if diff := ids.compare(said.text, swap.back.Replace(r.output)); diff != "" {
				t.Errorf("%s:%d: %s", path, said.line, diff)
			}
		}
	}
	if len(commands) == 0 || len(says) == 0 {
		t.Errorf("%s: %d blocks of commands, %d with output; something is not read", path, len(commands), len(says))
	}
}
