package pair

import (
	"errors"
	"strings"

	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// recordBytes is how many bytes of envelopes one record holds, unless the first
// one alone is larger. A record must fit into one message of the broker.
const recordBytes = 512 << 10

// base is what a record says: where the journal stood at the last confirmed
// statement, and statements behind it.
type base struct {
	state   journal.State
	entries []journal.Entry
	whole   bool // the entries follow the state, so that nothing else is needed
}

// newRecord lays out a record of the next entries, and says how many went in.
func newRecord(at journal.State, entries []journal.Entry) (*karaulav1.PairRecord, int) {
	o := &karaulav1.JournalOpen{
		Ledger: at.Ledger[:], Channel: at.Channel, Epoch: at.Epoch, Size: at.Tree.Size(), SaidAt: at.SaidAt, Offset: at.Offset,
	}
	for _, h := range at.Tree.Frontier() {
		o.Frontier = append(o.Frontier, h[:])
	}
	r := &karaulav1.PairRecord{Base: o}
	size := 0
	for i, e := range entries {
		if size += len(e.Envelope); i > 0 && size > recordBytes {
			return r, i
		}
		if i == 0 {
			r.Signed = &karaulav1.JournalSigned{FirstSeq: e.Seq}
		}
		r.Signed.Envelopes = append(r.Signed.Envelopes, e.Envelope)
		r.Signed.Tokens = append(r.Signed.Tokens, e.Token)
	}
	return r, len(entries)
}

// readBase reads a record that the other gateway has marked.
func readBase(r *karaulav1.PairRecord) (*base, error) {
	o := r.GetBase()
	if len(o.GetLedger()) != 32 || o.GetEpoch() == 0 || !validChannel(o.GetChannel()) {
		return nil, errors.New("it names no ledger")
	}
	var frontier [][32]byte
	for _, h := range o.GetFrontier() {
		if len(h) != 32 {
			return nil, errors.New("its tree has a hash of another length")
		}
		frontier = append(frontier, [32]byte(h))
	}
	tree, err := treeOf(o.GetSize(), frontier)
	if err != nil {
		return nil, err
	}
	b := &base{state: journal.State{
		Ledger: ledger.ID(o.GetLedger()), Channel: o.GetChannel(), Epoch: o.GetEpoch(), Tree: tree,
		SaidAt: o.GetSaidAt(), Offset: o.GetOffset(),
	}}
	signed := r.GetSigned()
	if len(signed.GetEnvelopes()) != len(signed.GetTokens()) {
		return nil, errors.New("it has more or fewer statements than subjects")
	}
	for i, raw := range signed.GetEnvelopes() {
		p, err := envelope.ParseOuter(raw)
		if err != nil {
			return nil, err
		}
		b.entries = append(b.entries, journal.Entry{
			Seq: signed.GetFirstSeq() + uint64(i), Envelope: raw, Token: signed.GetTokens()[i], Leaf: p.Leaf,
		})
	}
	b.whole = len(b.entries) == 0 || b.entries[0].Seq == tree.Size()+1
	return b, nil
}

// continues reports whether a journal that stands at st tells the same history,
// and what it lacks of it is here.
func (b *base) continues(st journal.State) bool {
	if st.Ledger != b.state.Ledger || st.Epoch != b.state.Epoch || st.Channel != b.state.Channel {
		return false
	}
	size := st.Tree.Size()
	if !b.whole {
		// The journal itself compares the roots when the next one is appended.
		first, last := b.entries[0].Seq, b.entries[len(b.entries)-1].Seq
		return size+1 >= first && size < last
	}
	tree := b.state.Tree.Clone()
	for i := 0; ; i++ {
		if tree.Size() == size {
			return tree.Root() == st.Tree.Root()
		}
		if i == len(b.entries) || tree.Size() > size {
			return false
		}
		tree.Append(b.entries[i].Leaf)
	}
}

// after gives the entries behind a number.
func (b *base) after(size uint64) []journal.Entry {
	for i, e := range b.entries {
		if e.Seq > size {
			return b.entries[i:]
		}
	}
	return nil
}

// treeOf builds the tree of so many statements.
func treeOf(size uint64, frontier [][32]byte) (*ledger.Tree, error) {
	if size == 0 {
		return new(ledger.Tree), nil
	}
	return ledger.FromEdge(size, frontier)
}

// validChannel reports whether a name can be that of a channel, and so of a file.
func validChannel(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
