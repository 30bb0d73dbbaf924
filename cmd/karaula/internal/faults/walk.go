package faults

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/stream"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/seal"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Expect says what a walk may find besides order.
type Expect struct {
	// OutLost names parties whose OUT stream was taken away: their ledger is
	// checked where the partner holds it.
	OutLost map[string]bool
	// Behind names parties that need not hold everything that the other one said.
	Behind map[string]bool
	// Copies allows streams to hold a statement again, in the same bytes, behind
	// others: what a damaged stream was given back stands at its end.
	Copies bool
}

// Findings is what a walk found, and how much it looked at.
type Findings struct {
	// Statements, Alerts and Receipts count what was said, by party.
	Statements, Alerts, Receipts map[string]int
	// Acked counts alerts that senders were told of, by party.
	Acked map[string]int
	// Signed counts the places of ledgers for which signed bytes were compared.
	Signed int
	// Copies counts messages that a stream holds again in the same bytes.
	Copies int
	// Wrong is everything that should not be.
	Wrong []string
}

// String gives the figures on one line.
func (f *Findings) String() string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(f.Statements)) {
		fmt.Fprintf(&b, "%s said %d statements, %d alerts (%d acknowledged), %d receipts; ",
			p, f.Statements[p], f.Alerts[p], f.Acked[p], f.Receipts[p])
	}
	fmt.Fprintf(&b, "%d places compared; ", f.Signed)
	if f.Copies > 0 {
		fmt.Fprintf(&b, "%d stored again in the same bytes; ", f.Copies)
	}
	fmt.Fprintf(&b, "%d wrong", len(f.Wrong))
	return b.String()
}

// walker compares the stores of both sides.
type walker struct {
	f       *Findings
	x       Expect
	stores  map[string]*Store
	records map[string]*Record
	said    map[string][]*envelope.Parsed // by origin, the whole ledger in order
	leaves  map[string][32]byte           // by ledger, epoch and number
}

// Walk reads the stores of the two stopped nodes of a world and compares them
// with each other and with what senders were told: every acknowledged alert is
// in its sender's ledger exactly once, with the number that was printed, and was
// accepted exactly once by the other side, in the same order; numbers have no
// gap, roots agree, no place was signed twice with different bytes, receipts
// say what is so, and nothing is there that nobody tried to send.
func Walk(ctx context.Context, w *World, records map[string]*Record, x Expect) (*Findings, error) {
	k := &walker{
		x: x, records: records, stores: map[string]*Store{}, said: map[string][]*envelope.Parsed{},
		leaves: map[string][32]byte{},
		f: &Findings{
			Statements: map[string]int{}, Alerts: map[string]int{}, Receipts: map[string]int{}, Acked: map[string]int{},
		},
	}
	temp, err := os.MkdirTemp(w.Dir, "walk-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // the test's folder goes as a whole
	for _, n := range w.Nodes() {
		sub := filepath.Join(temp, n.Party)
		if err := os.Mkdir(sub, 0o700); err != nil {
			return nil, err
		}
		s, err := Read(ctx, n, []string{w.Partner(n).Party}, sub)
		if err != nil {
			return nil, fmt.Errorf("the store of %s: %w", n.Party, err)
		}
		if x.Copies {
			s.Out = k.inOrder(s.Out)
			for origin, list := range s.In {
				s.In[origin] = k.inOrder(list)
			}
		}
		k.stores[n.Party] = s
	}
	for _, n := range w.Nodes() {
		k.signedOnce(n.Party, k.stores[n.Party])
	}
	for _, n := range w.Nodes() {
		k.ledger(n.Party, w.Partner(n).Party)
	}
	for _, n := range w.Nodes() {
		k.received(n.Party, w.Partner(n).Party)
		k.acknowledged(n.Party, w.Partner(n).Party)
		k.receipts(n.Party, w.Partner(n).Party)
	}
	k.f.Signed = len(k.leaves)
	return k.f, nil
}

// inOrder gives the messages of a stream in the order of their numbers, without
// those that are there again in the same bytes.
func (k *walker) inOrder(list []stream.Stored) []stream.Stored {
	var out []stream.Stored
	seen := map[string]bool{}
	at := map[string]uint64{}
	for _, m := range list {
		if seen[string(m.Data)] {
			k.f.Copies++
			continue
		}
		seen[string(m.Data)] = true
		if p, err := envelope.Parse(m.Data); err == nil {
			at[string(m.Data)] = p.Statement.GetEpoch()<<40 | p.Statement.GetSeq()
		}
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b stream.Stored) int { return cmp.Compare(at[string(a.Data)], at[string(b.Data)]) })
	return out
}

func (k *walker) wrong(format string, args ...any) {
	k.f.Wrong = append(k.f.Wrong, fmt.Sprintf(format, args...))
}

// signedOnce collects every signed statement that a node holds, wherever, and
// compares it with every other one of the same place.
func (k *walker) signedOnce(party string, s *Store) {
	all := map[string][][]byte{"journal": s.Journal, "journal of the other gateway": s.Second}
	for _, m := range s.Out {
		all["OUT"] = append(all["OUT"], m.Data)
	}
	for origin, list := range s.In {
		for _, m := range list {
			all["IN from "+origin] = append(all["IN from "+origin], m.Data)
		}
	}
	for where, list := range all {
		for i, raw := range list {
			p, err := envelope.Parse(raw)
			if err != nil {
				k.wrong("%s, %s, %d: no envelope: %v", party, where, i+1, err)
				continue
			}
			if err := p.VerifySignatures(k.keyOf(p.Statement)); err != nil {
				k.wrong("%s, %s, %d: %v", party, where, i+1, err)
				continue
			}
			st := p.Statement
			key := fmt.Sprintf("%x/%d/%d", st.GetLedger(), st.GetEpoch(), st.GetSeq())
			if leaf, ok := k.leaves[key]; ok && leaf != p.Leaf {
				k.wrong("%s signed number %d twice with different bytes (%s of %s)", st.GetOrigin(), st.GetSeq(), where, party)
			}
			k.leaves[key] = p.Leaf
		}
	}
}

// keyOf finds the key that a statement's card names.
func (k *walker) keyOf(st *karaulav1.Statement) envelope.KeyFunc {
	return func(_ karaulav1.SignAlg, id [16]byte) (ed25519.PublicKey, error) {
		s := k.stores[st.GetOrigin()]
		if s == nil {
			return nil, fmt.Errorf("statement of an unknown origin %q", st.GetOrigin())
		}
		c, ok := s.View.CardByDigest([32]byte(st.GetCard()))
		if !ok {
			return nil, fmt.Errorf("%s never had the card that number %d names", st.GetOrigin(), st.GetSeq())
		}
		key, ok := c.SignKey(id[:])
		if !ok {
			return nil, fmt.Errorf("the card of number %d has no such key", st.GetSeq())
		}
		return key.Ed25519, nil
	}
}

// ledger replays what a party said, from its own stream, or from its partner's
// copy where the own one was lost.
func (k *walker) ledger(party, partner string) {
	list := k.stores[party].Out
	if k.x.OutLost[party] {
		list = k.stores[partner].In[party]
	}
	tree := new(ledger.Tree)
	var saidAt int64
	for _, m := range list {
		p, err := envelope.Parse(m.Data)
		if err != nil {
			continue // reported already
		}
		st, root := p.Statement, tree.Root()
		switch {
		case st.GetOrigin() != party || st.GetChannel() != Channel:
			k.wrong("%s said something as %s on %s", party, st.GetOrigin(), st.GetChannel())
			continue
		case st.GetEpoch() != 1 || st.GetSeq() != tree.Size()+1:
			k.wrong("%s: number %d of epoch %d stands where %d should", party, st.GetSeq(), st.GetEpoch(), tree.Size()+1)
			continue
		case string(st.GetPrevRoot()) != string(root[:]):
			k.wrong("%s: number %d carries another root", party, st.GetSeq())
		case st.GetSaidAt() < saidAt:
			k.wrong("%s: number %d was said before the one ahead of it", party, st.GetSeq())
		}
		saidAt = st.GetSaidAt()
		tree.Append(p.Leaf)
		k.said[party] = append(k.said[party], p)
	}
	k.f.Statements[party] = len(k.said[party])
	if s := k.stores[party]; !k.x.OutLost[party] && s.Base+uint64(len(s.Journal)) > 0 {
		if want := s.Base + uint64(len(s.Journal)); want != tree.Size() {
			k.wrong("%s: the journal has signed %d statements, the stream holds %d", party, want, tree.Size())
		}
	}
}

// received compares what a partner stored with what a party said, and looks at
// the verdicts.
func (k *walker) received(party, partner string) {
	s, said := k.stores[partner], k.said[party]
	got := s.In[party]
	for i, m := range got {
		if i >= len(said) {
			k.wrong("%s holds more of %s than it said: %d instead of %d", partner, party, len(got), len(said))
			break
		}
		if string(m.Data) != string(said[i].Raw) {
			k.wrong("%s holds other bytes at place %d of %s", partner, i+1, party)
		}
	}
	if len(got) < len(said) && !k.x.Behind[partner] {
		k.wrong("%s holds %d of the %d statements of %s", partner, len(got), len(said), party)
	}
	if n := s.Aside[party]; n > 0 {
		k.wrong("%s has put aside %d pieces of bytes from %s", partner, n, party)
	}
	verdict := map[uint64]*karaulav1.Judgement{}
	for _, j := range s.Verdicts[party] {
		if j.GetClass() == karaulav1.VerdictClass_VERDICT_CLASS_HELD {
			continue
		}
		if before := verdict[j.GetSeq()]; before != nil && before.GetClass() != j.GetClass() {
			k.wrong("%s judged number %d of %s differently the second time", partner, j.GetSeq(), party)
		}
		verdict[j.GetSeq()] = j
	}
	for i, p := range said[:min(len(said), len(got))] {
		j := verdict[uint64(i+1)]
		switch {
		case j == nil:
			k.wrong("%s has not judged number %d of %s", partner, i+1, party)
		case string(j.GetDigest()) != string(p.Leaf[:]):
			k.wrong("%s judged other bytes as number %d of %s", partner, i+1, party)
		case j.GetClass() != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED:
			k.wrong("%s did not accept number %d of %s: %s, %s", partner, i+1, party,
				terms.ClassWord(j.GetClass()), terms.CodeWord(j.GetCode()))
		}
	}
}

// acknowledged holds the alerts of a ledger, opened with the recipient's keys,
// against what the senders tried and were told.
func (k *walker) acknowledged(party, partner string) {
	r := k.records[party]
	if r == nil {
		r = NewRecord()
	}
	number := map[string]uint64{}
	for _, p := range k.said[party] {
		if p.Statement.GetKind() != karaulav1.Kind_KIND_ALERT {
			continue
		}
		k.f.Alerts[party]++
		id, err := k.open(p, partner)
		if err != nil {
			k.wrong("%s cannot open number %d of %s: %v", partner, p.Statement.GetSeq(), party, err)
			continue
		}
		if before := number[id]; before != 0 {
			k.wrong("%s said alert %s twice, as %d and %d", party, id, before, p.Statement.GetSeq())
		}
		number[id] = p.Statement.GetSeq()
		if !r.Tried(id) {
			k.wrong("%s said alert %s, which nobody sent", party, id)
		}
	}
	sent := r.Sent()
	k.f.Acked[party] = len(sent)
	var began time.Time
	for _, s := range sent {
		if number[s.ID] != s.Number {
			k.wrong(
				"%s: alert %s was acknowledged as number %d and is number %d (0: it is lost)",
				party,
				s.ID,
				s.Number,
				number[s.ID],
			)
		}
		// Ascending by number: who was acknowledged before another one began must stand before it.
		if s.Acked.Before(began) {
			k.wrong("%s: alert %s came to stand behind one that was sent after it", party, s.ID)
		}
		if s.Began.After(began) {
			began = s.Began
		}
	}
	for _, odd := range r.Odd() {
		k.wrong("%s: %s", party, odd)
	}
}

// open opens an alert with the keys of a recipient, and gives the id that is
// inside, and also in the text.
func (k *walker) open(p *envelope.Parsed, reader string) (string, error) {
	for i, part := range p.Statement.GetParts() {
		for at, rec := range part.GetRecipients() {
			if rec.GetParty() != reader {
				continue
			}
			key, ok := k.stores[reader].Keys.Identity(rec.GetUse(), rec.GetKeyId())
			if !ok {
				return "", fmt.Errorf("no such key")
			}
			frame, err := seal.Open(p.Envelope.GetParts()[i], key.Identity, at, len(part.GetRecipients()))
			if err != nil {
				return "", err
			}
			data, err := seal.Unframe(frame)
			if err != nil {
				return "", err
			}
			var in karaulav1.Inner
			if err := proto.Unmarshal(data, &in); err != nil {
				return "", err
			}
			id := book.IDText([16]byte(in.GetAlertId()))
			if in.GetAlert().GetCaseReference() != "TEST-"+id {
				return "", fmt.Errorf("the content is that of another alert")
			}
			return id, nil
		}
	}
	return "", fmt.Errorf("nothing in it is for %s", reader)
}

// receipts holds what a partner said about a party's ledger against that ledger.
func (k *walker) receipts(party, partner string) {
	roots := [][32]byte{new(ledger.Tree).Root()}
	tree := new(ledger.Tree)
	last := uint64(0) // number of the last statement that calls for an answer
	for _, p := range k.said[party] {
		tree.Append(p.Leaf)
		roots = append(roots, tree.Root())
		switch p.Statement.GetKind() {
		case karaulav1.Kind_KIND_RECEIPT, karaulav1.Kind_KIND_HEARTBEAT:
		default:
			last = p.Statement.GetSeq()
		}
	}
	var to uint64
	for _, p := range k.said[partner] {
		if p.Statement.GetKind() != karaulav1.Kind_KIND_RECEIPT {
			continue
		}
		k.f.Receipts[partner]++
		var r karaulav1.Receipt
		if err := proto.Unmarshal(p.Statement.GetBody(), &r); err != nil {
			k.wrong("receipt %d of %s cannot be read: %v", p.Statement.GetSeq(), partner, err)
			continue
		}
		for _, l := range r.GetLedgers() {
			k.receipt(party, partner, l, roots, to)
			to = max(to, l.GetJudgedTo())
		}
	}
	if to < last && !k.x.Behind[partner] && !k.x.OutLost[partner] {
		k.wrong("the receipts of %s cover %s only up to %d of %d", partner, party, to, last)
	}
}

// receipt checks one entry of a receipt; to is where the ones before it ended.
func (k *walker) receipt(party, partner string, l *karaulav1.LedgerReceipt, roots [][32]byte, to uint64) {
	at := l.GetJudgedTo()
	switch {
	case at >= uint64(len(roots)):
		k.wrong("%s receipted number %d of %s, which was never said", partner, at, party)
	case string(l.GetRoot()) != string(roots[at][:]):
		k.wrong("the receipt of %s up to %d of %s names another root", partner, at, party)
	case at < to && !k.x.OutLost[partner]:
		k.wrong("the receipts of %s go back from %d to %d", partner, to, at)
	case l.GetContested() != nil:
		k.wrong("%s says that %s has contradicted itself", partner, party)
	case len(l.GetExceptions()) > 0:
		k.wrong("%s refused number %d of %s: %s", partner, l.GetExceptions()[0].GetSeq(), party,
			terms.CodeWord(l.GetExceptions()[0].GetCode()))
	}
}

// Show gives the first few wrong things, for a test's message.
func (f *Findings) Show() string {
	list := f.Wrong
	if len(list) > 20 {
		list = append(slices.Clone(list[:20]), fmt.Sprintf("… and %d more", len(f.Wrong)-20))
	}
	return strings.Join(list, "\n")
}
