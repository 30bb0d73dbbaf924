package evidence

import (
	"bytes"
	"strconv"

	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/terms"
)

// Fact is what a proof proves.
type Fact string

// The facts.
const (
	// Inclusion: a statement is one of the first Size of its ledger.
	Inclusion Fact = "inclusion"
	// Consistency: the first From statements of a ledger are the first of Size.
	Consistency Fact = "consistency"
	// Range: between numbers From and To these statements were said, and no other:
	// nothing was withheld.
	Range Fact = "range"
	// Fork: the origin has signed two statements of which only one can be true.
	Fork Fact = "fork"
)

// Limits of a proof.
const (
	MaxProof      = 4 << 20 // bytes of the file
	maxHashes     = 128
	maxStatements = 2000
	maxCards      = 64
)

// Proof is one fact about a ledger, with all that it takes to verify it: the
// signed statements and the cards under which they were signed. Statements come
// without their content.
type Proof struct {
	Fact Fact
	// From and To are numbers; what they mean depends on the fact. Size is the
	// number of statements under the later root.
	From, To, Size uint64
	// Hashes of the Merkle proof, or the right edge before a range.
	Hashes [][32]byte
	// Statements are stubs of envelopes, in the order of their numbers; the one
	// that signs the later root is the last.
	Statements [][]byte
	// Cards are the signed texts of the cards that the statements name.
	Cards [][]byte
	// Bare proofs are written without cards: a reader has them, [Proof.AddCards].
	Bare bool
}

// Checked is a proof that has verified, as a reader needs it.
type Checked struct {
	Fact            Fact
	Channel, Origin string
	Ledger          ledger.ID
	Epoch           uint64
	From, To, Size  uint64
	// Root is the later root, signed by Signer's statement number Size+1; zero in a fork.
	Root [32]byte
	// Statements are all statements of the file, verified.
	Statements []*envelope.Parsed
	// Cards are the cards under which they were signed.
	Cards []*card.Card
	// Text says it in a sentence.
	Text string
}

// cardsOf collects the cards that statements name.
func (p *Proof) cardsOf(view *register.View) error {
	seen := map[[32]byte]bool{}
	for _, raw := range p.Statements {
		parsed, err := envelope.ParseOuter(raw)
		if err != nil {
			return problem.Wrap(problem.Verification, err, "a statement that is needed is malformed; nothing can be proved with it")
		}
		digest := [32]byte(parsed.Statement.GetCard())
		if seen[digest] {
			continue
		}
		seen[digest] = true
		cd, ok := view.CardByDigest(digest)
		if !ok {
			return problem.New(problem.NotFound, "card %d of %s is not here", parsed.Statement.GetCardSerial(), parsed.Statement.GetOrigin())
		}
		p.Cards = append(p.Cards, cd.Signed)
	}
	return nil
}

// stubs makes stubs of envelopes.
func stubs(raws ...[]byte) ([][]byte, error) {
	out := make([][]byte, len(raws))
	for i, raw := range raws {
		var err error
		if out[i], err = envelope.Stub(raw); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// newProof finishes a proof of envelopes.
func newProof(view *register.View, p Proof, raws ...[]byte) (*Proof, error) {
	var err error
	if p.Statements, err = stubs(raws...); err != nil {
		return nil, err
	}
	if err := p.cardsOf(view); err != nil {
		return nil, err
	}
	return &p, nil
}

// NewInclusion proves that a statement is one of the first size: head is the
// statement with number size+1, which signs their root.
func NewInclusion(view *register.View, h *ledger.History, statement, head []byte) (*Proof, error) {
	seq, size, err := numbers(statement, head)
	if err != nil {
		return nil, err
	}
	hashes, err := h.Inclusion(seq, size)
	if err != nil {
		return nil, err
	}
	return newProof(view, Proof{Fact: Inclusion, From: seq, To: seq, Size: size, Hashes: hashes}, statement, head)
}

// NewConsistency proves that one root goes on where another ended; both are those
// that the given statements sign.
func NewConsistency(view *register.View, h *ledger.History, earlier, head []byte) (*Proof, error) {
	seq, size, err := numbers(earlier, head)
	if err != nil {
		return nil, err
	}
	hashes, err := h.Consistency(seq-1, size)
	if err != nil {
		return nil, err
	}
	return newProof(view, Proof{Fact: Consistency, From: seq - 1, To: size, Size: size, Hashes: hashes}, earlier, head)
}

// NewRange proves that nothing else was said between two numbers. The statements
// are all from the first on, and the one behind the last.
func NewRange(view *register.View, h *ledger.History, statements ...[]byte) (*Proof, error) {
	if len(statements) < 2 || len(statements) > maxStatements {
		return nil, problem.New(problem.Invalid, "a range holds 1 to %d statements, and the one behind", maxStatements-1)
	}
	from, to, err := numbers(statements[0], statements[len(statements)-1])
	if err != nil {
		return nil, err
	}
	before, ok := h.Tree(from - 1)
	if !ok {
		return nil, problem.New(problem.NotFound, "the statements before number %d are not here", from)
	}
	return newProof(view, Proof{Fact: Range, From: from, To: to, Size: to, Hashes: before.Frontier()}, statements...)
}

// NewFork proves that an origin has given one number to two statements.
func NewFork(view *register.View, one, other []byte) (*Proof, error) {
	p, err := envelope.ParseOuter(one)
	if err != nil {
		return nil, err
	}
	seq := p.Statement.GetSeq()
	return newProof(view, Proof{Fact: Fork, From: seq, To: seq, Size: seq - 1}, one, other)
}

// NewChainFork proves that an origin's statement does not continue the one before
// it: before is the tree before the first of them.
func NewChainFork(view *register.View, before *ledger.Tree, one, next []byte) (*Proof, error) {
	seq := before.Size() + 1
	return newProof(view, Proof{Fact: Fork, From: seq, To: seq + 1, Size: seq, Hashes: before.Frontier()}, one, next)
}

// numbers gives the number of a statement, and the size whose root the head signs.
func numbers(statement, head []byte) (seq, size uint64, err error) {
	a, err := envelope.ParseOuter(statement)
	if err != nil {
		return 0, 0, err
	}
	b, err := envelope.ParseOuter(head)
	if err != nil {
		return 0, 0, err
	}
	if b.Statement.GetSeq() <= a.Statement.GetSeq() {
		return 0, 0, problem.New(problem.Invalid, "the root over number %d is signed by number %d, which was not said yet",
			a.Statement.GetSeq(), a.Statement.GetSeq()+1)
	}
	return a.Statement.GetSeq(), b.Statement.GetSeq() - 1, nil
}

// Check verifies a proof with nothing but root keys: every statement is signed
// under a card of its origin, every card by one of the roots, and the arithmetic
// holds. Errors are of kind Verification.
//
// Whether a card was in force at the number is more than a proof can say alone: a
// card that revokes a key is not in it. A bundle shows that.
func (p *Proof) Check(roots []string) (*Checked, error) {
	out := &Checked{Fact: p.Fact, From: p.From, To: p.To, Size: p.Size}
	cards, err := p.openCards(roots)
	if err != nil {
		return nil, err
	}
	for i, raw := range p.Statements {
		parsed, err := checkStatement(raw, cards)
		if err != nil {
			return nil, problem.Wrap(problem.Verification, err, "statement %d of the file does not verify", i+1)
		}
		out.Statements = append(out.Statements, parsed)
	}
	if len(out.Statements) < 2 {
		return nil, failed("a proof holds two statements at least")
	}
	first := out.Statements[0].Statement
	for _, s := range out.Statements[1:] {
		st := s.Statement
		if !bytes.Equal(st.GetLedger(), first.GetLedger()) || st.GetOrigin() != first.GetOrigin() ||
			st.GetChannel() != first.GetChannel() || st.GetEpoch() != first.GetEpoch() {
			return nil, failed("its statements are of different ledgers")
		}
	}
	out.Channel, out.Origin, out.Epoch, out.Ledger = first.GetChannel(), first.GetOrigin(), first.GetEpoch(), ledger.ID(first.GetLedger())
	for _, c := range cards {
		out.Cards = append(out.Cards, c)
	}
	return out, p.checkFact(out)
}

// openCards opens the cards and wants one of the roots for each.
func (p *Proof) openCards(roots []string) (map[[32]byte]*card.Card, error) {
	out := map[[32]byte]*card.Card{}
	for _, file := range p.Cards {
		c, err := card.Open(file)
		if err != nil {
			return nil, problem.Wrap(problem.Verification, err, "a card of the file does not verify")
		}
		if !contains(roots, c.Root) {
			return nil, failed("card %d of %s is of the root %s, which was not given", c.Serial, c.Party, c.Fingerprint()).
				WithHint("--root takes the party's verifier key; compare its fingerprint with the party first")
		}
		out[c.Digest] = c
	}
	return out, nil
}

// checkStatement verifies one envelope under the card that it names.
func checkStatement(raw []byte, cards map[[32]byte]*card.Card) (*envelope.Parsed, error) {
	p, err := envelope.Parse(raw)
	if err != nil {
		return nil, err
	}
	c, ok := cards[[32]byte(p.Statement.GetCard())]
	if !ok || c.Party != p.Statement.GetOrigin() {
		return nil, failed("number %d is signed under card %d of %s, which is not in the file", p.Statement.GetSeq(),
			p.Statement.GetCardSerial(), p.Statement.GetOrigin()).WithHint("a bare proof is verified with it: --card FILE")
	}
	for _, s := range p.Statement.GetSigners() {
		k, ok := c.SignKey(s.GetKeyId())
		if use, _ := terms.KeyUses(p.Statement.GetMode()); !ok || k.Use != use {
			return nil, failed("number %d is signed with a key that may not sign it", p.Statement.GetSeq())
		}
	}
	return p, p.VerifySignatures(c.StatementKey)
}

// checkFact does the arithmetic.
func (p *Proof) checkFact(out *Checked) error {
	list := out.Statements
	first, last := list[0].Statement, list[len(list)-1].Statement
	if p.Fact != Fork {
		if last.GetSeq() != p.Size+1 {
			return failed("the root over %d statements is signed by number %d, not %d", p.Size, p.Size+1, last.GetSeq())
		}
		out.Root = [32]byte(last.GetPrevRoot())
	}
	who := out.Origin + " on " + out.Channel + ", epoch " + uintText(out.Epoch)
	switch p.Fact {
	case Inclusion:
		if len(list) != 2 || first.GetSeq() != p.From || p.To != p.From ||
			!ledger.CheckInclusion(p.Hashes, p.From, p.Size, list[0].Leaf, out.Root) {
			return failed("number %d is not proved to be under the root over %d statements", p.From, p.Size)
		}
		out.Text = "Number " + uintText(p.From) + " of " + who + ", is one of the first " + uintText(p.Size) + " statements."
	case Consistency:
		if len(list) != 2 || first.GetSeq() != p.From+1 || p.To != p.Size ||
			!ledger.CheckConsistency(p.Hashes, p.From, p.Size, [32]byte(first.GetPrevRoot()), out.Root) {
			return failed("the root over %d statements is not proved to go on to the one over %d", p.From, p.Size)
		}
		out.Text = "The first " + uintText(p.From) + " statements of " + who + ", are unchanged among the first " + uintText(p.Size) + "."
	case Range:
		if p.To != p.Size {
			return failed("a range ends where its root ends")
		}
		if err := p.checkRange(list); err != nil {
			return err
		}
		out.Text = "Of " + who + ", these are all statements from number " + uintText(p.From) + " to " + uintText(p.To) +
			"; none was withheld."
	case Fork:
		if err := p.checkFork(list); err != nil {
			return err
		}
		out.Text = out.Origin + " has contradicted itself on " + out.Channel + " at number " + uintText(p.To) +
			" of epoch " + uintText(out.Epoch) + "."
	default:
		return failed("it proves nothing that is known here")
	}
	return nil
}

// checkRange wants every number, each continuing the one before.
func (p *Proof) checkRange(list []*envelope.Parsed) error {
	if p.From < 1 || p.To < p.From || uint64(len(list)) != p.To-p.From+2 {
		return failed("it does not hold one statement for each number")
	}
	tree, err := ledger.FromFrontier(p.From-1, p.Hashes, [32]byte(list[0].Statement.GetPrevRoot()))
	if err != nil {
		return err
	}
	for i, s := range list {
		root := tree.Root()
		if s.Statement.GetSeq() != p.From+uint64(i) || !bytes.Equal(s.Statement.GetPrevRoot(), root[:]) {
			return failed("number %d does not continue the one before it", s.Statement.GetSeq())
		}
		tree.Append(s.Leaf)
	}
	return nil
}

// checkFork wants two statements that cannot both be true.
func (p *Proof) checkFork(list []*envelope.Parsed) error {
	if len(list) != 2 {
		return failed("a fork has two statements")
	}
	a, b := list[0].Statement, list[1].Statement
	if a.GetSeq() == b.GetSeq() {
		if list[0].Leaf == list[1].Leaf || a.GetSeq() != p.From || p.To != p.From || p.Size+1 != p.From || len(p.Hashes) > 0 {
			return failed("the two statements are one and the same, or have other numbers than stated: no contradiction")
		}
		return nil
	}
	if b.GetSeq() != a.GetSeq()+1 || p.From != a.GetSeq() || p.To != b.GetSeq() || p.Size != p.From {
		return failed("the two statements do not follow each other: no contradiction is shown")
	}
	tree, err := ledger.FromFrontier(a.GetSeq()-1, p.Hashes, [32]byte(a.GetPrevRoot()))
	if err != nil {
		return err
	}
	tree.Append(list[0].Leaf)
	if root := tree.Root(); bytes.Equal(root[:], b.GetPrevRoot()) {
		return failed("the second statement continues the first: no contradiction")
	}
	return nil
}

func failed(format string, args ...any) *problem.Problem {
	return problem.New(problem.Verification, format, args...)
}

func uintText(n uint64) string { return strconv.FormatUint(n, 10) }
