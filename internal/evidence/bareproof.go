package evidence

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// bareHead is the first line of a bare proof.
func bareHead(f Fact) []byte { return []byte(proofHead + string(f) + " v1 bare\n") }

// marshalBare writes a proof without its cards: what somebody needs who has the
// party's card already.
func (p *Proof) marshalBare() []byte {
	m := &karaulav1.BareProof{From: p.From, To: p.To, Size: p.Size, Statements: p.Statements}
	for _, h := range p.Hashes {
		m.Hashes = append(m.Hashes, h[:]...)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err) // there is no text in it that could be invalid
	}
	return append(bareHead(p.Fact), body...)
}

// parseBare reads the file of a bare proof; false if it is none.
func parseBare(file []byte) (*Proof, bool, error) {
	for _, f := range []Fact{Inclusion, Consistency, Range, Fork} {
		body, ok := bytes.CutPrefix(file, bareHead(f))
		if !ok {
			continue
		}
		m := &karaulav1.BareProof{}
		if err := wire.Unmarshal(body, m, MaxProof); err != nil {
			return nil, true, problem.Wrap(problem.Invalid, err, "the proof is not in strict wire form")
		}
		p := &Proof{Fact: f, Bare: true, From: m.GetFrom(), To: m.GetTo(), Size: m.GetSize(), Statements: m.GetStatements()}
		const most = 1 << 62 // as in a ledger
		if p.From >= most || p.To >= most || p.Size >= most || len(p.Statements) > maxStatements ||
			len(m.GetHashes())%32 != 0 || len(m.GetHashes()) > maxHashes*32 {
			return nil, true, problem.New(problem.Invalid, "a number, or how many hashes or statements there are, is beyond the limits")
		}
		for h := m.GetHashes(); len(h) > 0; h = h[32:] {
			p.Hashes = append(p.Hashes, [32]byte(h))
		}
		return p, true, nil
	}
	return nil, false, nil
}

// AddCards gives a bare proof the cards that its statements name, out of those
// that a reader has. Others are left out.
func (p *Proof) AddCards(files ...[]byte) {
	for _, raw := range p.Statements {
		st, err := envelope.ParseOuter(raw)
		if err != nil {
			continue // the check says so
		}
		for _, file := range files {
			c, err := card.Open(file)
			if err == nil && bytes.Equal(c.Digest[:], st.Statement.GetCard()) && !p.has(file) && len(p.Cards) < maxCards {
				p.Cards = append(p.Cards, file)
			}
		}
	}
}

func (p *Proof) has(file []byte) bool {
	for _, c := range p.Cards {
		if bytes.Equal(c, file) {
			return true
		}
	}
	return false
}
