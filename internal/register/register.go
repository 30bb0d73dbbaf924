// Package register keeps what a node knows about its partners: cards,
// agreements and notices, each a signed text in a folder that anyone may read.
// It decides what enters ([Register.AddCard], [Register.AddAgreement],
// [Register.AddNotice]) and answers, from an immutable [View], who may say
// what, on which channel, at which moment, and why not.
//
//	DIR/register/parties/al/3.card                       cards, by serial
//	DIR/register/agreements/b01-al-me/1-6f3c….agreement  texts, by version and digest
//	DIR/register/notices/me/7.notice                     notices, by serial
//	DIR/register/tombstones/b01-al-me                    ids that are never used again
//	DIR/register/conflicts/…                             evidence: contradicting signed texts
//	DIR/register/generation                              counter of changes
//	DIR/register/lock                                    one writer at a time
//	DIR/register/changing                                there while one writes
//
// Several processes may share the folder: a change replaces whole files, and
// bumps the generation, which every call of [Register.View] looks at.
//
// Nothing here is secret and nothing is trusted: signatures are verified again
// whenever the folder is read, so whoever can write to it can remove, but not
// invent. The package must never hold a private key, look at an alert, or let
// a clock decide: every decision takes the moment it is about.
package register

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"karaula/internal/problem"
	"karaula/internal/terms"
)

// Register is the folder of one node. Its methods may be called concurrently,
// also from several processes.
type Register struct {
	dir, self string
	memory    map[string][]byte // the folder's files, where there is no folder
	now       func() time.Time
	believed  []string // roots that whoever gave the files believes

	mu      sync.Mutex       // one reader or writer of the folder in this process
	parsed  map[[32]byte]any // files as last read, by SHA-256, so that they are verified once
	current atomic.Pointer[snapshot]
	failure atomic.Pointer[error]
}

// snapshot is a state with the mark by which a change on disk is noticed.
type snapshot struct {
	state *state
	mark  mark
}

// Open opens the register folder dir of the party (or auditor) self, making it
// if it is not there, and reads it. Files in it that don't verify are left out
// and listed by [View.Damaged].
func Open(dir, self string) (*Register, error) {
	if !terms.ValidParty(self) {
		return nil, problem.New(problem.Invalid, "%q is not a party code", self)
	}
	r := &Register{dir: dir, self: self, now: time.Now}
	for _, sub := range []string{"", partiesDir, agreementsDir, noticesDir, tombstonesDir, conflictsDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, problem.Wrap(problem.Failed, err, "the register folder can't be made")
		}
	}
	r.mend()
	if err := r.reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// mend has other processes notice what a writer changed that was killed before it told
// them. Who may not write does not; whoever changes something next does.
func (r *Register) mend() {
	if !r.cutOff() {
		return
	}
	unlock, err := r.tryLock()
	if err != nil {
		return // whoever writes now tells the others, or is killed and leaves it to the next one
	}
	defer unlock()
	if now, err := r.readMark(); err == nil {
		_, _ = r.catchUp(now)
	}
}

// SetClock replaces the clock that chooses which moment a [View] shows. It is
// for tests, before the register is shared; decisions never use it.
func (r *Register) SetClock(now func() time.Time) { r.now = now }

// View gives what the register holds now. It is cheap: the folder is read only
// if somebody changed it. If that fails the last good view is given, and
// [Register.Err] says why. Ask for a new view for every batch of work; a kept
// one never changes.
func (r *Register) View() *View {
	snap := r.current.Load()
	if !r.fresh(snap.mark) {
		r.mu.Lock()
		if snap = r.current.Load(); !r.fresh(snap.mark) {
			r.note(r.reload())
			snap = r.current.Load()
		}
		r.mu.Unlock()
	}
	return &View{s: snap.state, at: r.now()}
}

// Err gives why the folder could not be read when it last changed; nil if it could.
func (r *Register) Err() error {
	if p := r.failure.Load(); p != nil {
		return *p
	}
	return nil
}

func (r *Register) note(err error) {
	if err == nil {
		r.failure.Store(nil)
		return
	}
	r.failure.Store(&err)
}

// maxReload bounds how often a folder that changes while it is read is read again.
const maxReload = 20

// reload reads the whole folder. It repeats if a writer came between.
func (r *Register) reload() error {
	for range maxReload {
		before, err := r.readMark()
		if err != nil {
			return err
		}
		s, err := r.load(before.generation)
		if err != nil {
			return err
		}
		after, err := r.readMark()
		if err != nil {
			return err
		}
		if before.generation == after.generation {
			r.current.Store(&snapshot{s, after})
			return nil
		}
	}
	return problem.New(problem.Unreachable, "the register changes faster than it can be read")
}

// change runs one write under the lock: on a fresh state, followed by a bump
// of the generation if edit wrote anything, and a new snapshot.
func (r *Register) change(edit func(*editor) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	now, err := r.readMark()
	if err == nil {
		now, err = r.catchUp(now)
	}
	if err != nil {
		return err
	}
	if now.generation != r.current.Load().mark.generation {
		if err := r.reload(); err != nil {
			return err
		}
	}
	e := &editor{dir: r.dir, state: r.current.Load().state}
	editErr := edit(e)
	if !e.wrote {
		e.end()
		return editErr
	}
	if err := e.bump(); err != nil {
		return err
	}
	e.end()
	if err := r.reload(); err != nil {
		return err
	}
	return editErr
}
