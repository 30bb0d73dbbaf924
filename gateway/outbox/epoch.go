package outbox

import (
	"google.golang.org/protobuf/proto"

	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Opening is what the first statement of a new epoch says.
type Opening struct {
	Ledger     ledger.ID
	Channel    string
	Self       string
	Mode       karaulav1.Mode
	Continues  *karaulav1.Head // the last head of the epoch before that holds
	Reason     string          // a code of docs/spec/ledger.md
	SaidAt     int64           // microseconds since 1970 UTC
	Agreement  [32]byte        // the text in force at that head
	Card       [32]byte        // newer than the one in force there
	CardSerial uint64
}

// OpenEpoch signs the statement that opens the epoch after the one that o
// continues, and gives it as the first entry of that epoch's journal. It is said
// by nobody before the journal has it.
func OpenEpoch(o Opening, signer envelope.Signer) (journal.Entry, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&karaulav1.EpochBody{
		Continues: o.Continues, Reason: o.Reason,
	})
	if err != nil {
		return journal.Entry{}, problem.Wrap(problem.Failed, err, "the new epoch cannot be written down")
	}
	root := ledger.EmptyRoot()
	p, err := write(&karaulav1.Statement{
		Format: 1, Ledger: o.Ledger[:], Channel: o.Channel, Origin: o.Self, Mode: o.Mode,
		Epoch: o.Continues.GetEpoch() + 1, Seq: 1, PrevRoot: root[:], SaidAt: o.SaidAt,
		Agreement: o.Agreement[:], Card: o.Card[:], CardSerial: o.CardSerial,
		Signers: []*karaulav1.Signer{{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: signer.KeyID[:]}},
		Kind:    karaulav1.Kind_KIND_EPOCH, Body: body,
	}, signer, nil)
	if err != nil {
		return journal.Entry{}, problem.Wrap(problem.Invalid, err, "the new epoch cannot be said")
	}
	return journal.Entry{
		Seq: 1, Envelope: p.Raw, Leaf: p.Leaf, Token: subject.Token(karaulav1.Kind_KIND_EPOCH, 0),
	}, nil
}
