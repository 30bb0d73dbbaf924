package register

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/card"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxNotices bounds how many notices of one partner are kept. A partner can make
// as many as it likes, and each is read at every change of the register.
const maxNotices = 1000

// AddNotice takes in a party's notice about an agreement that is here. It must
// be signed by the party's root, or, where the act allows that, by a notice
// key of the party's newest card here: who finds a key that the party has
// retired must not be able to suspend. A notice that was taken in before stays,
// until a card revokes its key. The same notice again changes nothing; another one with its serial is a Conflict and is kept
// as evidence. A lower serial than the highest one is taken in: for each party
// and agreement the highest serial in effect rules, whatever came first.
//
// A text, card or root that is not here yet is of kind NotFound: try again
// when it is.
func (r *Register) AddNotice(file []byte) error {
	n, err := notice.Peek(file)
	if err != nil {
		return err
	}
	return r.change(func(e *editor) error { return e.addNotice(n, file) })
}

func (e *editor) addNotice(claimed *notice.Notice, file []byte) error {
	s := e.state
	for _, other := range s.notices[claimed.Party] {
		if other.Serial == claimed.Serial && bytes.Equal(other.Signed, file) {
			return nil
		}
	}
	n, err := s.openNotice(claimed, file, newest)
	if err != nil {
		return err
	}
	for _, other := range s.notices[n.Party] {
		if other.Serial != n.Serial {
			continue
		}
		if other.TextID == n.TextID {
			return nil
		}
		if err := e.keepEvidence(fmt.Sprintf("%s-%d-%s.notice", n.Party, n.Serial, short(n.TextID)), file); err != nil {
			return err
		}
		return problem.New(problem.Conflict,
			"%s signed two different notices with serial %d; this one was kept as evidence, not taken in", n.Party, n.Serial)
	}
	most := maxNotices
	if slices.ContainsFunc(s.rootKeys(n.Party, n.Serial), func(root string) bool { return signedBy(n, root) }) {
		most *= 2 // who has stolen a notice key must not keep a withdrawal out
	}
	if len(s.notices[n.Party]) >= most && n.Party != s.self {
		return problem.New(problem.Conflict, "%d notices of %s are here already; no more are taken in", most, n.Party).
			WithHint("call the authority of %s", n.Party)
	}
	return e.write(noticePath(n), file)
}

// openNotice verifies a notice with what is known about its party and checks
// that it is about something here.
func (s *state) openNotice(claimed *notice.Notice, file []byte, of cards) (*notice.Notice, error) {
	verifiers := s.noticeKeys(claimed.Party, claimed.Serial, of)
	if len(verifiers) == 0 {
		return nil, problem.New(problem.NotFound, "no key of %q is known that could sign a notice", claimed.Party).
			WithHint("karaula party add CARD --dir DIR")
	}
	n, err := notice.Open(file, verifiers...)
	if err != nil {
		return nil, err
	}
	if n.Act == notice.RootChange {
		return n, s.checkRootChange(n)
	}
	t := s.text(n.Agreement, n.Digest)
	if t == nil {
		return nil, problem.New(problem.NotFound, "notice %d of %s is about a text of %s that is not here (%s)",
			n.Serial, n.Party, n.Agreement, hex.EncodeToString(n.Digest[:8]))
	}
	if _, ok := t.Agreement.Party(n.Party); !ok {
		return nil, problem.New(problem.Invalid, "%s is not a party of agreement %s, its notice %d says nothing",
			n.Party, n.Agreement, n.Serial)
	}
	return n, nil
}

// checkRootChange refuses a next root that was not announced beforehand.
func (s *state) checkRootChange(n *notice.Notice) error {
	for _, root := range s.rootKeys(n.Party, n.Serial) {
		if !signedBy(n, root) {
			continue
		}
		if slices.ContainsFunc(s.announced(n.Party, root), n.IsNext) {
			return nil
		}
	}
	return problem.New(problem.Verification, "the root that notice %d of %s changes to was never announced",
		n.Serial, n.Party).
		WithHint("agreements and cards announce the next root by its digest; call the authority of %s", n.Party)
}

// rootKeys gives the roots that count for a party's notice with this serial:
// pinned ones, or else those of its cards.
func (s *state) rootKeys(party string, serial uint64) []string {
	keys, _ := s.pinnedFor(party, serial)
	if len(keys) > 0 {
		return keys
	}
	for _, c := range s.cards[party] {
		if root := s.changed(party, c.Root, serial); !slices.Contains(keys, root) {
			keys = append(keys, root)
		}
	}
	return keys
}

// cards says whose notice keys count: those of a party's newest card, by which
// a notice comes in, or of any, by which one stays.
type cards bool

const (
	newest cards = true
	every  cards = false
)

// noticeKeys gives the verifiers of a party's roots and notice keys.
func (s *state) noticeKeys(party string, serial uint64, of cards) []note.Verifier {
	var out []note.Verifier
	seen := map[string]bool{}
	add := func(v note.Verifier) {
		if k := fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash()); !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	for _, root := range s.rootKeys(party, serial) {
		if v, err := signedtext.Verifier(root); err == nil {
			add(v)
		}
	}
	counting := s.counting(party)
	if of == newest && len(counting) > 1 {
		counting = counting[len(counting)-1:]
	}
	for _, c := range counting {
		for _, k := range c.Keys {
			if k.Use != karaulav1.KeyUse_KEY_USE_NOTICE || s.revoked(party, k.ID) {
				continue
			}
			vkey, err := signedtext.VKey(signedtext.NoticeName(party), k.Ed25519)
			if err != nil {
				continue
			}
			if v, err := signedtext.Verifier(vkey); err == nil {
				add(v)
			}
		}
	}
	return out
}

// revoked reports whether any card of a party revokes a key.
func (s *state) revoked(party string, id [16]byte) bool {
	return slices.ContainsFunc(s.cards[party], func(c *card.Card) bool {
		return slices.ContainsFunc(c.Revoked, func(v card.Revocation) bool { return v.Key == id })
	})
}

// counting gives the cards of a party, ascending, that are by a root that
// counts or counted: if an agreement pins the root, others don't.
func (s *state) counting(party string) []*card.Card {
	keys, _ := s.pinned(party)
	if len(keys) == 0 {
		return s.cards[party]
	}
	var out []*card.Card
	for _, c := range s.cards[party] {
		if slices.Contains(keys, c.Root) || s.isHistory(c) {
			out = append(out, c)
		}
	}
	return out
}

// loadNotices reads the notices in the order of their serials, because a root
// change decides who may sign the next one.
func (s *state) loadNotices(r *Register) error {
	type file struct {
		path    string
		body    []byte
		claimed *notice.Notice
	}
	var files []file
	err := s.walk(r, noticesDir, notice.MaxFile, func(path string, body []byte) error {
		n, err := notice.Peek(body)
		if err != nil {
			return err
		}
		if want := noticePath(n); want != path {
			return misplaced(want)
		}
		files = append(files, file{path, body, n})
		return nil
	})
	slices.SortStableFunc(files, func(a, b file) int { return compare(a.claimed.Serial, b.claimed.Serial) })
	// A withdrawal can complete a text, and that can pin a root: then once more.
	damaged := len(s.damaged)
	for again := true; again; {
		s.notices, s.damaged = map[string][]*notice.Notice{}, s.damaged[:damaged]
		for _, f := range files {
			n, err := s.openNotice(f.claimed, f.body, every)
			if err != nil {
				s.damaged = append(s.damaged, Damage{f.path, err})
				continue
			}
			s.notices[n.Party] = append(s.notices[n.Party], n)
		}
		again = false
		for _, list := range s.texts {
			for _, t := range list {
				again = s.settle(t) || again
			}
		}
	}
	return err
}
