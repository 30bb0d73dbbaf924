package register

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/notice"
	"karaula/internal/problem"
)

func TestFolder(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	text := draft(t, "b01", "al,me", someTypes)
	res := add(t, r, signAll(t, text))
	must(t, r.AddNotice(who(t, "me").noticeFile(t, 7, notice.Suspend, text, start)))
	want := []string{
		"agreements/b01/1-" + short(res.Agreement.Digest) + ".agreement",
		"notices/me/7.notice", "parties/al/1.card", "parties/me/1.card",
	}
	if d := cmp.Diff(want, tree(t, r)); d != "" {
		t.Errorf("folder (-want +got):\n%s", d)
	}
	if got := r.View().Generation(); got != 4 {
		t.Errorf("generation %d after 4 changes", got)
	}
	if _, err := Open(t.TempDir(), "A L"); !problem.Is(err, problem.Invalid) {
		t.Errorf("a bad party code: %v", err)
	}
}

// TestTwoProcesses: another register on the same folder sees a change with the
// next view, and views that were given before don't change.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	one := node(t, "al", "me")
	two, err := Open(one.dir, "al")
	must(t, err)
	two.SetClock(one.now)
	text := draft(t, "b01", "al,me", someTypes)
	before := two.View()
	for serial := uint64(1); serial <= 20; serial++ { // changes closer together than clocks of file systems tell
		if serial == 1 {
			add(t, one, signAll(t, text))
		} else {
			must(t, one.AddNotice(who(t, "me").noticeFile(t, serial, notice.Suspend, text, start)))
		}
		if got, want := two.View().Generation(), one.View().Generation(); got != want {
			t.Fatalf("change %d: generation %d, want %d", serial, got, want)
		}
	}
	if d := two.View().Decide("al", "b01", vehicle, start); d.Code != CodeSuspended {
		t.Errorf("the other process decides: %+v", d)
	}
	if len(before.Agreements()) != 0 {
		t.Error("an old view changed")
	}
	must(t, two.Err())
}

// TestAWriterIsKilled: a process that has put a file into the folder and was killed before
// it told the others. They notice it with the next one that opens the folder, and with the
// next that writes, also where that finds all done already.
func TestAWriterIsKilled(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(waiting *Register, file []byte) error{
		"another one opens the folder": func(waiting *Register, _ []byte) error {
			_, err := Open(waiting.dir, "al")
			return err
		},
		"another one repeats it": func(waiting *Register, file []byte) error { return waiting.AddNotice(file) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, text := bilateral(t)
			waiting, err := Open(one.dir, "al")
			must(t, err)
			file := who(t, "me").noticeFile(t, 1, notice.Suspend, text, start)
			unlock, err := one.lock()
			must(t, err)
			killed := &editor{dir: one.dir, state: one.current.Load().state}
			must(t, killed.write(filepath.Join(noticesDir, "me", "1.notice"), file))
			unlock()
			if len(one.View().Notices("me")) != 0 {
				t.Error("it is noticed though nobody told")
			}
			must(t, next(waiting, file))
			if len(one.View().Notices("me")) != 1 {
				t.Error("it is not noticed")
			}
			if one.cutOff() {
				t.Error("the folder still counts as being changed")
			}
			generation := one.View().Generation()
			must(t, next(waiting, file))
			if one.View().Generation() != generation {
				t.Error("it is told again and again")
			}
		})
	}
}

// TestOpenWaitsForNobody: a process that holds the lock, and does not go on, keeps nobody
// from reading the folder, though it has said that it changes something.
func TestOpenWaitsForNobody(t *testing.T) {
	t.Parallel()
	one := node(t, "al", "me")
	unlock, err := one.lock()
	must(t, err)
	must(t, (&editor{dir: one.dir}).begin())
	generation := one.View().Generation()
	other, err := Open(one.dir, "al")
	must(t, err)
	if other.View().Generation() != generation || !one.cutOff() {
		t.Error("it was told what another one is about to tell")
	}
	unlock()
	other, err = Open(one.dir, "al")
	must(t, err)
	if other.View().Generation() != generation+1 || one.cutOff() {
		t.Error("it was not told what a killed one had not told")
	}
}

// TestAnEarlierChangeCannotBeTold: then nothing of the next one is made, and it says so.
func TestAnEarlierChangeCannotBeTold(t *testing.T) {
	t.Parallel()
	one, text := bilateral(t)
	must(t, (&editor{dir: one.dir}).begin())
	path := filepath.Join(one.dir, generationFile)
	aside := filepath.Join(t.TempDir(), "generation")
	must(t, os.Rename(path, aside))
	must(t, os.Mkdir(path, 0o755)) // nothing can take its place
	must(t, os.WriteFile(filepath.Join(path, "x"), nil, 0o644))
	file := who(t, "me").noticeFile(t, 1, notice.Suspend, text, start)
	err := one.AddNotice(file)
	if err == nil || !strings.HasPrefix(err.Error(), "an earlier change could not be told") || len(one.View().Notices("me")) != 0 {
		t.Errorf("it was made: %v", err)
	}
	must(t, os.RemoveAll(path))
	must(t, os.Rename(aside, path))
	must(t, one.AddNotice(file))
	if len(one.View().Notices("me")) != 1 {
		t.Error("it was not made")
	}
}

// TestWritersDontLoseChanges lets several writers of several processes write at once.
func TestWritersDontLoseChanges(t *testing.T) {
	t.Parallel()
	one, text := bilateral(t)
	start := one.View().Generation()
	const writers, each = 4, 5
	var wg sync.WaitGroup
	for w := range writers {
		r, err := Open(one.dir, "al")
		must(t, err)
		var files [][]byte
		for i := range each {
			files = append(files, who(t, "me").noticeFile(t, uint64(w*each+i+1), notice.Suspend, text, end))
		}
		wg.Go(func() {
			for _, file := range files {
				if err := r.AddNotice(file); err != nil {
					t.Error(err)
				}
				r.View().Decide("al", "b01", vehicle, end)
			}
		})
	}
	wg.Wait()
	if got := len(one.View().Notices("me")); got != writers*each || one.View().Generation() != start+writers*each {
		t.Errorf("%d notices, generation %d after %d", got, one.View().Generation(), start)
	}
}

// TestDamage: what does not verify is left out and named, and what is there is
// never believed because of its place.
func TestDamage(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk")
	text := draft(t, "b01", "al,me", someTypes)
	file := signAll(t, text)
	res := add(t, r, file)
	must(t, r.AddNotice(who(t, "me").noticeFile(t, 1, notice.Suspend, text, end)))
	path := "agreements/b01/1-" + short(res.Agreement.Digest) + ".agreement"
	write := func(name, body string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(r.dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(r.dir, name), []byte(body), 0o644))
	}
	write(path, strings.Replace(string(file), "handling<=H2", "handling<=H3", 1))
	write("parties/xk/1.card", string(who(t, "me").cardFile(t, 1, nil)))
	write("notices/me/1.notice", "torn")
	write("parties/xk/.new-123", "left by a crash")
	again, err := Open(r.dir, "al")
	must(t, err)
	var paths []string
	for _, d := range again.View().Damaged() {
		if d.Err == nil {
			t.Errorf("%s: no reason", d.Path)
		}
		paths = append(paths, d.Path)
	}
	if d := cmp.Diff([]string{"parties/xk/1.card", path, "notices/me/1.notice"}, paths); d != "" {
		t.Errorf("damaged (-want +got):\n%s", d)
	}
	if d := again.View().Decide("al", "b01", vehicle, start); d.Code != CodeNoChannel {
		t.Errorf("a damaged agreement decides: %+v", d)
	}
	if _, ok := again.View().Card("xk"); ok {
		t.Error("the card of one party stands for another")
	}
	if res := add(t, again, file); !res.Complete {
		t.Errorf("the good file again: %+v", res)
	}
}

// TestUnreadable: if the folder can't be read any more, the last good state
// stays, and Err says so.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	must(t, os.WriteFile(filepath.Join(r.dir, generationFile), []byte("nonsense"), 0o644))
	if got := len(r.View().Parties()); got != 2 || r.Err() == nil {
		t.Errorf("%d parties, %v", got, r.Err())
	}
	must(t, os.WriteFile(filepath.Join(r.dir, generationFile), nil, 0o644))
	if got := len(r.View().Parties()); got != 2 || r.Err() != nil {
		t.Errorf("after a power cut: %d parties, %v", got, r.Err())
	}
	must(t, os.Remove(filepath.Join(r.dir, generationFile)))
	if got := len(r.View().Parties()); got != 2 || r.Err() != nil {
		t.Errorf("%d parties, %v", got, r.Err())
	}
}
