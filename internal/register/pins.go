package register

import (
	"slices"

	"karaula/internal/notice"
	"karaula/internal/signedtext"
)

// pinned gives the root keys that count for a party because self has agreed to
// them, and the ids of the agreements that say so: for every agreement the
// newest complete text that self has signed. A root change moves a pin to the
// next root. Without any such agreement both are empty.
func (s *state) pinned(party string) (keys, by []string) {
	for _, id := range sortedKeys(s.texts) {
		t := s.newestSigned(id)
		if t == nil {
			continue
		}
		root := t.rootOf(party)
		if root == "" {
			continue
		}
		by = append(by, id)
		if root = s.changed(party, root); !slices.Contains(keys, root) {
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

// lineage gives a root and all that it changed into, the one that counts last.
func (s *state) lineage(party, root string) []string {
	out := []string{root}
	for {
		n := s.changes[rootOf{party, out[len(out)-1]}]
		if n == nil || slices.Contains(out, n.Next) {
			return out
		}
		out = append(out, n.Next)
	}
}

// changed gives the root that a party's root was changed into in the end.
func (s *state) changed(party, root string) string {
	all := s.lineage(party, root)
	return all[len(all)-1]
}

// disowned reports whether something that this root of a party has signed counts
// no more: the root was replaced, and its replacement does not let it stand.
func (s *state) disowned(party, root, kind string, digest [32]byte) bool {
	n := s.changes[rootOf{party, root}]
	return n != nil && !n.HasStand(kind, digest)
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
// that self and everybody have signed; in the change by which the root came; or,
// where neither is here, in the first card by it. Later cards don't count: the
// thief can sign them.
func (s *state) announced(party, root string) [][32]byte {
	var out [][32]byte
	for _, list := range s.texts {
		for _, t := range list {
			p, ok := t.Agreement.Party(party)
			if ok && p.Root == root && t.whole && slices.Contains(t.SignedBy, s.self) {
				out = append(out, p.Next)
			}
		}
	}
	for _, n := range s.changes {
		if n.Party == party && n.Next == root {
			out = append(out, n.After)
		}
	}
	for _, c := range s.cards[party] { // ascending serial
		if c.Root == root && len(out) == 0 {
			out = append(out, c.NextRoot)
		}
	}
	return out
}
