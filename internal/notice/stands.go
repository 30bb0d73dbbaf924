package notice

import (
	"bytes"
	"cmp"
	"slices"
)

// Stand names something that a replaced root has signed and that still counts.
// What the change does not name counts no more, whoever has it, and whenever it
// says that it was signed: so a thief of the replaced root can backdate nothing.
type Stand struct {
	Kind   string   // one of the kinds below
	Digest [32]byte // of the signed text
}

// The kinds of what stands.
const (
	StandsAgreement = "agreement"
	StandsCard      = "card"
	StandsNotice    = "notice"
)

var standKinds = []string{StandsAgreement, StandsCard, StandsNotice}

// HasStand reports whether a root change lets this stand.
func (n *Notice) HasStand(kind string, digest [32]byte) bool {
	_, found := slices.BinarySearchFunc(n.Stands, Stand{kind, digest}, compareStands)
	return found
}

// SortStands puts what stands into the order of the form, each once.
func SortStands(list []Stand) []Stand {
	slices.SortFunc(list, compareStands)
	return slices.Compact(list)
}

func compareStands(a, b Stand) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), bytes.Compare(a.Digest[:], b.Digest[:]))
}
