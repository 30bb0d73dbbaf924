package setup

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/signedtext"
)

// RootKeys names the files of the roots that a change of the root is about.
type RootKeys struct {
	// Old is the root that is replaced; not opened if Lost.
	Old  string
	Lost bool
	// Next takes over. It must be there, unless New: then it is made.
	Next string
	New  bool
	// After is the root after the next one: a new file, or one that an attempt
	// before has made.
	After string
	// Passphrase opens and seals all of them.
	Passphrase keyring.Passphrase
}

// Changed is a change of the root that was taken in.
type Changed struct {
	Notice *notice.Notice
	// Announced: the replaced root has signed, and had announced the next one, so
	// that partners believe it by themselves.
	Announced bool
	// Serial of the first card by the new root; 0 where there is none yet.
	CardSerial uint64
}

// DraftRootChange gives the notice by which the node's root is to be replaced,
// without the next root and the one after it.
func DraftRootChange(dir, reason string, now time.Time) (*notice.Notice, error) {
	i, err := begin(dir, "nothing was signed")
	if err != nil {
		return nil, err
	}
	defer i.end()
	if err := i.afterRestore(); err != nil {
		return nil, err
	}
	view := i.reg.View()
	if err := whole(i.layout, view); err != nil {
		return nil, err
	}
	root, ok := view.Root(i.cfg.Party)
	if !ok {
		return nil, problem.New(problem.Locked, "the own root is not known; nothing was signed")
	}
	return &notice.Notice{
		Party: i.cfg.Party, Serial: view.NextNoticeSerial(i.cfg.Party), Agreement: notice.AllAgreements,
		Act: notice.RootChange, Effective: now.UTC().Truncate(time.Second), Root: root,
		Stands: view.Standing(i.cfg.Party), Reason: reason,
	}, nil
}

// whole refuses a change of the root from a register that is known to lack something:
// what it lacks would go out of force with the replaced root, at every partner.
func whole(l node.Layout, view *register.View) error {
	const why = "what the root has signed there would go out of force at every partner; nothing was signed"
	const hint = "take it in first, each partner has it, below DIR/register: karaula agreement add FILE, karaula party add FILE; then repeat"
	for _, d := range view.Damaged() {
		return problem.New(problem.Locked, "register/%s is damaged and left out: %s", d.Path, why).WithHint(hint)
	}
	if missing := view.WithoutText(l.Spoken()); len(missing) > 0 {
		return problem.New(problem.Locked, "the register is behind: there is a signing journal of channel %s, and no agreement: %s",
			strings.Join(missing, ", "), why).WithHint(hint)
	}
	return nil
}

// SignRootChange completes and signs a draft with the roots.
func SignRootChange(draft *notice.Notice, k RootKeys) (file []byte, next *keyring.Root, err error) {
	var signers []note.Signer
	if !k.Lost {
		old, err := keyring.LoadRoot(k.Old, k.Passphrase)
		if err != nil {
			return nil, nil, err
		}
		if old.VKey != draft.Root {
			return nil, nil, problem.New(problem.Verification, "%s is not the root that counts now; nothing was signed", k.Old)
		}
		signers = append(signers, old.Signer)
	}
	if next, err = k.root(k.Next, draft.Party, k.New); err != nil {
		return nil, nil, err
	}
	after, err := k.root(k.After, draft.Party, true)
	if err != nil {
		return nil, nil, err
	}
	n := *draft
	n.Next, n.After = next.VKey, signedtext.KeyDigest(after.VKey)
	file, err = notice.Issue(n, append(signers, next.Signer)...)
	return file, next, err
}

// root loads a root of a party, or makes it.
func (k RootKeys) root(path, party string, fresh bool) (*keyring.Root, error) {
	if _, err := os.Lstat(path); fresh && errors.Is(err, fs.ErrNotExist) {
		private, _, err := keyring.NewRoot(party)
		if err != nil {
			return nil, err
		}
		if err := keyring.SaveRoot(path, private, k.Passphrase); err != nil {
			return nil, err
		}
	}
	root, err := keyring.LoadRoot(path, k.Passphrase)
	if err != nil {
		return nil, err
	}
	if root.Signer.Name() != party {
		return nil, problem.New(problem.Verification, "%s is a root of %s, not of %s; nothing was signed",
			path, root.Signer.Name(), party)
	}
	return root, nil
}

// Inside reports a root key that would come to lie in the node's folder.
func (k RootKeys) Inside(dir string) error {
	l := node.Layout{Dir: dir}
	if !slices.ContainsFunc([]string{k.Next, k.After}, l.Inside) {
		return nil
	}
	return problem.New(problem.Invalid, "a root key must not lie inside the node's folder; nothing was signed").
		WithHint("name a file elsewhere, best on a medium that can be taken away")
}

// TakeRootChange takes a change of the own root into the register. Where the
// replaced root has not signed it, or never announced the next one, the caller
// vouches for it with meant.
func TakeRootChange(dir string, file []byte, meant bool) (*Changed, error) {
	i, err := begin(dir, "nothing was changed")
	if err != nil {
		return nil, err
	}
	defer i.end()
	n, err := notice.Open(file)
	if err != nil {
		return nil, err
	}
	if n.Act != notice.RootChange || n.Party != i.cfg.Party {
		return nil, problem.New(problem.Invalid, "this is no change of the root of %s; nothing was changed", i.cfg.Party)
	}
	announced := n.RootSaid && i.reg.View().Announced(n)
	switch {
	case announced:
		err = i.reg.AddNotice(file)
	case !meant:
		return nil, problem.New(problem.Verification,
			"the replaced root has not signed this change, or never announced the next one; nothing was changed").
			WithHint("if it is yours: --lost; every partner must then accept it")
	default:
		err = i.reg.TakeOwnRoot(file)
	}
	if err != nil {
		return nil, err
	}
	if root, _ := i.reg.View().Root(i.cfg.Party); root != n.Next {
		return nil, problem.New(problem.Conflict, "the change was kept, and has no effect: another one goes before it").
			WithHint("karaula doctor --dir %s", dir)
	}
	return &Changed{Notice: n, Announced: announced}, nil
}

// AcceptRoot signs with the own root that a partner's change of its root is
// believed, and takes that in.
func AcceptRoot(
	reg *register.Register, self string, change *notice.Notice, root *keyring.Root, reason string, now time.Time,
) (*notice.Notice, error) {
	view := reg.View()
	if own, _ := view.Root(self); own != root.VKey {
		return nil, problem.New(problem.Verification, "this is not the root key of %s that counts now; nothing was signed", self)
	}
	file, err := notice.Issue(notice.Notice{
		Party: self, Serial: view.NextNoticeSerial(self), Agreement: notice.AllAgreements, Act: notice.AcceptRoot,
		Digest: change.TextID, Effective: now.UTC().Truncate(time.Second), Next: change.Next, Reason: reason,
	}, root.Signer)
	if err != nil {
		return nil, err
	}
	if err := reg.AddNotice(file); err != nil {
		return nil, err
	}
	return notice.Peek(file)
}
