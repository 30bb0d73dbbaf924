package register

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"karaula/internal/keyring"
	"karaula/internal/notice"
	"karaula/internal/problem"
)

// A partner may make cards and notices without end. Not all of them are kept:
// the register is read whole at every change, by all that the node does.
func TestAPartnerCannotFillTheRegister(t *testing.T) {
	t.Parallel()
	me := who(t, "me")
	dir := filepath.Join(t.TempDir(), "r")
	r, err := Open(dir, "al")
	must(t, err)
	write := func(path string, file []byte) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, path), file, 0o600))
	}
	for serial := range uint64(maxCards) {
		file := me.cardFile(t, serial+1, nil)
		write(filepath.Join(partiesDir, "me", fmt.Sprintf("%d.card", serial+1)), file)
	}
	_, err = r.AddCard(who(t, "al").cardFile(t, 1, nil), AddCardOptions{}) // reads it all
	must(t, err)
	if _, err := r.AddCard(me.cardFile(t, maxCards+1, nil), AddCardOptions{}); !problem.Is(err, problem.Conflict) {
		t.Errorf("one card more: %v", err)
	}
	text := signAll(t, draft(t, "t01", "al,me,xk", someTypes))
	add(t, r, text)
	for serial := range uint64(maxNotices) {
		file := me.noticeFile(t, serial+1, notice.Suspend, text, start)
		write(filepath.Join(noticesDir, "me", fmt.Sprintf("%d.notice", serial+1)), file)
	}
	must(t, r.AddNotice(who(t, "al").noticeFile(t, 1, notice.Suspend, text, start)))
	if n := len(r.View().Notices("me")); n != maxNotices {
		t.Fatalf("%d notices are here", n)
	}
	more := me.noticeFile(t, maxNotices+1, notice.Suspend, text, start.Add(time.Hour))
	if err := r.AddNotice(more); !problem.Is(err, problem.Conflict) {
		t.Errorf("one notice more: %v", err)
	}
	if err := r.AddNotice(me.noticeFile(t, maxNotices+2, notice.Withdraw, text, start.AddDate(1, 0, 0))); err != nil {
		t.Errorf("a withdrawal, which the root has signed: %v", err)
	}
}

// Who has stolen a root makes changes of it without end, and who has none makes some
// that only a new root has signed. Neither keeps anything out that counts.
func TestAThiefCannotKeepAChangeOut(t *testing.T) {
	t.Parallel()
	me := who(t, "me")
	r, text, stands := bound(t, "al", "me")
	for range 2 * maxNotices {
		private, _, err := keyring.NewRoot("me")
		must(t, err)
		next, err := keyring.ParseRoot(private)
		must(t, err)
		file := change(t, 1, me.root, next, stands, me.root, next)
		n, err := notice.Peek(file)
		must(t, err)
		must(t, os.MkdirAll(filepath.Join(r.dir, noticesDir, "me"), 0o755))
		must(t, os.WriteFile(filepath.Join(r.dir, noticePath(n)), file, 0o600))
	}
	must(t, r.AddNotice(who(t, "al").noticeFile(t, 1, notice.Object, text, start))) // reads it all
	if err := r.AddNotice(me.noticeFile(t, 1, notice.Suspend, text, start)); err != nil {
		t.Errorf("a notice is kept out: %v", err)
	}
	burnt := change(t, 2, me.root, me.rogue, stands, me.rogue)
	if err := r.AddNotice(burnt); !problem.Is(err, problem.Conflict) {
		t.Errorf("one more that waits: %v", err)
	}
	if err := r.BringNotice(burnt); err != nil || len(r.View().WaitingRoots("me")) != 2*maxNotices+1 {
		t.Errorf("the one that a person brings: %v", err)
	}
	if err := r.AddNotice(change(t, 2, me.root, me.next, stands, me.root, me.next)); err != nil {
		t.Fatalf("the change that was announced is kept out: %v", err)
	}
	wantPinned(t, r, me.next)
}
