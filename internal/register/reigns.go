package register

import "slices"

// Reign is a text of an agreement and the statement of a ledger that brought it.
type Reign struct {
	Epoch, Seq uint64
	Text       [32]byte
}

// Reigns are the texts that rule a ledger, in its order. Who may read a statement
// follows from them: the parties of the text in force there, and of the one that
// the statement itself brings.
type Reigns []Reign

// Note adds the text that rules behind a statement, if that changes it. Every
// epoch begins with an entry of its own.
func (r Reigns) Note(epoch, seq uint64, text [32]byte) Reigns {
	if n := len(r); n > 0 && r[n-1].Epoch == epoch && r[n-1].Text == text {
		return r
	}
	return append(r, Reign{epoch, seq, text})
}

// MayRead reports whether a statement is a party's to read.
func (v *View) MayRead(r Reigns, party string, epoch, seq uint64) bool {
	for i, reign := range slices.Backward(r) {
		if reign.Epoch != epoch || reign.Seq > seq {
			continue
		}
		last := i > 0 && reign.Seq == seq && seq > 1 && v.in(r[i-1].Text, party) // that it has left
		return last || v.in(reign.Text, party)
	}
	return false
}

// ReadsFrom gives the first number of an epoch from which on a party may read
// everything up to the end; false if it may not read the end.
func (v *View) ReadsFrom(r Reigns, party string, epoch uint64) (first uint64, ok bool) {
	for i := len(r) - 1; i >= 0 && r[i].Epoch == epoch && v.in(r[i].Text, party); i-- {
		first, ok = r[i].Seq, true
	}
	return first, ok
}

// in reports whether somebody is a party of a text that is known here.
func (v *View) in(text [32]byte, party string) bool {
	e, known := v.AgreementByDigest(text)
	if !known {
		return false
	}
	_, in := e.Agreement.Party(party)
	return in
}
