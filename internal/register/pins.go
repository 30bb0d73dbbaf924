package register

import (
	"math"
	"slices"

	"karaula/internal/notice"
	"karaula/internal/signedtext"
)

// pinned gives the root keys that count for a party because self has agreed to
// them, and the ids of the agreements that say so: for every agreement the
// newest complete text that self has signed. A root change moves a pin to the
// next root. Without any such agreement both are empty.
func (s *state) pinned(party string) (keys, by []string) { return s.pinnedFor(party, latest) }

// pinnedFor is [state.pinned] with the root changes before a serial only.
func (s *state) pinnedFor(party string, serial uint64) (keys, by []string) {
	for _, id := range sortedKeys(s.texts) {
		t := s.newestSigned(id)
		if t == nil {
			continue
		}
		root := ""
		if p, ok := t.Agreement.Party(party); ok {
			root = p.Root
		} else if d, ok := t.Agreement.Auditor(party); ok {
			root = d.Root
		}
		if root == "" {
			continue
		}
		by = append(by, id)
		if root = s.changed(party, root, serial); !slices.Contains(keys, root) {
			keys = append(keys, root)
		}
	}
	return keys, by
}

// newestSigned gives the newest complete text of an id that self has signed.
func (s *state) newestSigned(id string) *text {
	list := s.texts[id]
	for _, l := range slices.Backward(list) {
		if t := l; t.complete && slices.Contains(t.SignedBy, s.self) {
			return t
		}
	}
	return nil
}

// latest stands for all notices where a serial is asked for.
const latest = math.MaxUint64

// changed follows a party's root changes from a root to the one that counts
// for a notice with this serial.
func (s *state) changed(party, root string, serial uint64) string {
	for _, n := range s.notices[party] {
		if n.Serial < serial && n.Act == notice.RootChange && signedBy(n, root) {
			root = n.Next
		}
	}
	return root
}

// signedBy reports whether a notice carries a valid signature by this root.
func signedBy(n *notice.Notice, root string) bool {
	v, err := signedtext.Verifier(root)
	if err != nil {
		return false
	}
	names, err := signedtext.Signatures(n.Signed, v)
	return err == nil && len(names) == 1
}

// announced gives the digests of the next root that a party has announced with
// this root, where a thief of the root can't change them afterwards: in texts
// that self and everybody have signed, or, where none names the root, in the first card
// by it. Later cards don't count: the thief can sign them.
func (s *state) announced(party, root string) [][32]byte {
	var out [][32]byte
	for _, list := range s.texts {
		for _, t := range list {
			p, ok := t.Agreement.Party(party)
			if ok && p.Root == root && t.complete && slices.Contains(t.SignedBy, s.self) {
				out = append(out, p.Next)
			}
		}
	}
	for _, c := range s.cards[party] { // ascending serial
		if c.Root == root && len(out) == 0 {
			out = append(out, c.NextRoot)
		}
	}
	return out
}

// lineage gives a root and all that it changed into: the roots whose cards
// count as history.
func (s *state) lineage(party, root string) []string {
	out := []string{root}
	for _, n := range s.notices[party] {
		if n.Act == notice.RootChange && signedBy(n, out[len(out)-1]) {
			out = append(out, n.Next)
		}
	}
	return out
}
