package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"karaula/internal/envelope"
	"karaula/internal/problem"
)

// childTask names what a copy of this test program does instead of testing.
const (
	childTask = "KARAULA_TEST_JOURNAL_TASK"
	childFile = "KARAULA_TEST_JOURNAL_FILE"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childTask) {
	case "append":
		exitWith(appendForEver(os.Getenv(childFile)))
	case "full":
		exitWith(appendUntilFull(os.Getenv(childFile)))
	}
	os.Exit(m.Run())
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// appendForEver signs batches and says on stdout which numbers are on disk.
func appendForEver(file string) error {
	j, err := Open(file, place())
	if err != nil {
		return err
	}
	for n := 1; ; n = n%3 + 1 {
		st := j.State()
		entries := make([]Entry, n)
		for i := range entries {
			if entries[i], err = next(&st, 3000); err != nil {
				return err
			}
		}
		if err := j.Append(entries); err != nil {
			return err
		}
		fmt.Println(st.Tree.Size()) //nolint:forbidigo // stdout is how the child speaks
		if err := j.Confirm(st.Tree.Size()-1, 0); err != nil {
			return err
		}
	}
}

// appendUntilFull signs until no file may grow any more, and says how far it got.
func appendUntilFull(file string) error {
	signal.Ignore(syscall.SIGXFSZ) // so that the write fails instead
	limit := unix.Rlimit{Cur: 20_000, Max: 20_000}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	j, err := Open(file, place())
	if err != nil {
		return err
	}
	for {
		st := j.State()
		done := st.Tree.Size()
		e, err := next(&st, 1500)
		if err != nil {
			return err
		}
		err = j.Append([]Entry{e})
		if err == nil {
			continue
		}
		if !errors.Is(err, unix.EFBIG) || !problem.Is(err, problem.Failed) {
			return fmt.Errorf("not the error of a full disk: %w", err)
		}
		if j.Append([]Entry{e}) == nil {
			return errors.New("it took a batch after the failure")
		}
		fmt.Println(done) //nolint:forbidigo // stdout is how the child speaks
		return nil
	}
}

// child starts a copy of this program with a task.
func child(t *testing.T, task, file string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childTask+"="+task, childFile+"="+file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// TestKilled: a real process is killed with SIGKILL while it appends, again and
// again on one file. Every number that it had reported is there, in bytes that
// verify, nothing is there twice, and the journal goes on.
func TestKilled(t *testing.T) {
	t.Parallel()
	file := path(t)
	reported := uint64(0)
	for round := range 8 {
		cmd, out := child(t, "append", file)
		lines := bufio.NewScanner(out)
		for range 3 + 5*round {
			if !lines.Scan() {
				t.Fatal("the child stopped by itself")
			}
			reported = mustNumber(t, lines.Text())
		}
		if _, err := Open(file, place()); !problem.Is(err, problem.Conflict) {
			t.Fatalf("the journal of a running process opens: %v", err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had reported before the kill reached it
			reported = mustNumber(t, lines.Text())
		}
		_ = cmd.Wait() // killed, as it should be
		checkAfterCrash(t, file, reported)
	}
}

// checkAfterCrash opens the journal and checks it against what was reported.
func checkAfterCrash(t *testing.T, file string, reported uint64) {
	t.Helper()
	j := mustOpen(t, file)
	defer mustClose(t, j)
	size := j.State().Tree.Size()
	if size < reported {
		t.Fatalf("number %d was reported, the journal ends at %d", reported, size)
	}
	pending := j.Pending()
	if uint64(len(pending))+j.Confirmed() != size {
		t.Fatalf("%d confirmed and %d pending are not %d", j.Confirmed(), len(pending), size)
	}
	for i, e := range pending {
		p, err := envelope.Parse(e.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		if p.Statement.GetSeq() != j.Confirmed()+uint64(i)+1 || p.Leaf != e.Leaf || e.Token != "notice" {
			t.Fatalf("at the place of number %d stands number %d", j.Confirmed()+uint64(i)+1, p.Statement.GetSeq())
		}
	}
}

// TestFullDisk: a real process whose files may not grow any more stops signing;
// what it had appended before is there, and the torn rest is not.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	file := path(t)
	cmd, out := child(t, "full", file)
	said, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	done := mustNumber(t, string(bytes.TrimSpace(said)))
	j := mustOpen(t, file)
	if j.State().Tree.Size() != done || done == 0 {
		t.Errorf("%d statements are there, want %d", j.State().Tree.Size(), done)
	}
	mustAppend(t, j, batch(t, j, 1))
}

func mustNumber(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
