package envelope

import (
	"fmt"
	"slices"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Lengths of fields, in bytes.
const (
	digestSize = 32
	idSize     = 16
	sigSize    = 64
)

// checkStatement checks a statement's fields one by one, in the order of
// docs/spec/envelope.md, "Order of checks".
func checkStatement(st *karaulav1.Statement) error {
	if st.GetFormat() != Format {
		return refuse(karaulav1.Code_CODE_UNKNOWN_FORMAT, "format %d is not spoken here", st.GetFormat())
	}
	if len(st.GetMustUnderstand()) > 0 {
		return refuse(karaulav1.Code_CODE_MUST_UNDERSTAND, "it needs feature %d", st.GetMustUnderstand()[0])
	}
	for _, check := range []func(*karaulav1.Statement) error{
		checkReserved, checkEnums, checkPlace, checkSigners, checkParts, checkLinks, checkKind,
	} {
		if err := check(st); err != nil {
			return err
		}
	}
	return nil
}

// checkReserved refuses fields that have a place but no meaning yet.
func checkReserved(st *karaulav1.Statement) error {
	set := st.GetOnBehalfOf() != "" || st.GetVia() != "" || st.GetNotBefore() != 0
	for _, p := range st.GetParts() {
		set = set || p.GetDetached() || p.GetMedia() != "" || p.GetLabel() == karaulav1.Label_LABEL_ATTACHMENT
	}
	if set {
		return refuse(karaulav1.Code_CODE_RESERVED_FIELD, "the statement sets a reserved field")
	}
	return nil
}

// enum is a value with the names that this reader knows.
type enum struct {
	field string
	value int32
	names map[int32]string
}

// checkEnums refuses zero where the value must be known, and values that are
// newer than this reader. Statement.type is not among them: an unknown type is
// refused by the border check, like any type that no clause allows.
func checkEnums(st *karaulav1.Statement) error {
	all := []enum{
		{"mode", int32(st.GetMode()), karaulav1.Mode_name},
		{"kind", int32(st.GetKind()), karaulav1.Kind_name},
	}
	for _, s := range st.GetSigners() {
		all = append(all, enum{"signers.alg", int32(s.GetAlg()), knownSignAlgs})
	}
	for _, p := range st.GetParts() {
		all = append(all,
			enum{"parts.seal_alg", int32(p.GetSealAlg()), karaulav1.SealAlg_name},
			enum{"parts.label", int32(p.GetLabel()), karaulav1.Label_name})
		for _, r := range p.GetRecipients() {
			all = append(all, enum{"parts.recipients.use", int32(r.GetUse()), karaulav1.KeyUse_name})
		}
	}
	for _, e := range all {
		if e.value == 0 {
			return malformed("%s is missing", e.field)
		}
		if _, ok := e.names[e.value]; !ok {
			return refuse(karaulav1.Code_CODE_MUST_UNDERSTAND, "value %d of %s is not known here", e.value, e.field)
		}
	}
	return nil
}

// knownSignAlgs holds what can be verified here; others have a number only.
var knownSignAlgs = map[int32]string{int32(karaulav1.SignAlg_SIGN_ALG_ED25519): "ed25519"}

// checkPlace checks whose statement it is, where it stands, and when and under
// which texts it was said.
func checkPlace(st *karaulav1.Statement) error {
	switch {
	case !terms.ValidID(st.GetChannel()):
		return malformed("channel is not an id")
	case !terms.ValidParty(st.GetOrigin()):
		return malformed("origin is not a party code")
	case st.GetEpoch() < 1 || st.GetSeq() < 1:
		return malformed("epoch and seq begin at 1")
	case st.GetSaidAt() <= 0:
		return malformed("said_at is missing or negative")
	case st.GetEraseAfter() < 0:
		return malformed("erase_after is negative")
	case st.GetCardSerial() < 1:
		return malformed("card_serial is missing")
	}
	for _, f := range []struct {
		name  string
		value []byte
	}{
		{"ledger", st.GetLedger()}, {"prev_root", st.GetPrevRoot()}, {"agreement", st.GetAgreement()}, {"card", st.GetCard()},
	} {
		if len(f.value) != digestSize {
			return malformed("%s has %d bytes, must have %d", f.name, len(f.value), digestSize)
		}
	}
	return nil
}

// checkSigners checks who is announced as having signed.
func checkSigners(st *karaulav1.Statement) error {
	n := len(st.GetSigners())
	if n < 1 || n > MaxSigners {
		return malformed("%d signers, 1 to %d are admitted", n, MaxSigners)
	}
	seen := make(map[string]bool, n)
	for i, s := range st.GetSigners() {
		id := fmt.Sprintf("%d %x", s.GetAlg(), s.GetKeyId())
		if len(s.GetKeyId()) != idSize || seen[id] {
			return malformed("signer %d is named twice or has a key id of the wrong length", i)
		}
		seen[id] = true
	}
	return nil
}

// checkParts checks the description of the sealed parts: the main part first,
// and only it is a main part.
func checkParts(st *karaulav1.Statement) error {
	if len(st.GetParts()) > MaxParts {
		return malformed("%d parts, at most %d are admitted", len(st.GetParts()), MaxParts)
	}
	for i, p := range st.GetParts() {
		if (p.GetLabel() == karaulav1.Label_LABEL_MAIN) != (i == 0) {
			return malformed("the first part must be the main part, and no other")
		}
		if p.GetSize() < 1 || p.GetSize() > MaxEnvelope {
			return malformed("part %d has no size, or one above the limit", i)
		}
		if len(p.GetDigest()) != digestSize || len(p.GetCommitment()) != digestSize {
			return malformed("part %d has a digest or commitment of the wrong length", i)
		}
		if err := checkRecipients(p, i); err != nil {
			return err
		}
	}
	return nil
}

// checkRecipients checks for whom part i is sealed.
func checkRecipients(p *karaulav1.Part, i int) error {
	n := len(p.GetRecipients())
	if n < 1 || n > MaxRecipients {
		return malformed("part %d has %d recipients, 1 to %d are admitted", i, n, MaxRecipients)
	}
	seen := make(map[string]bool, n)
	for _, r := range p.GetRecipients() {
		id := fmt.Sprintf("%s %d %x", r.GetParty(), r.GetUse(), r.GetKeyId())
		if !terms.ValidParty(r.GetParty()) || len(r.GetKeyId()) != idSize || !opens(r.GetUse()) || seen[id] {
			return malformed("part %d has a recipient that is named twice or cannot be one", i)
		}
		seen[id] = true
	}
	return nil
}

// opens reports whether keys of this use open sealed parts.
func opens(use karaulav1.KeyUse) bool {
	switch use {
	case karaulav1.KeyUse_KEY_USE_SEAL, karaulav1.KeyUse_KEY_USE_ARCHIVE,
		karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL, karaulav1.KeyUse_KEY_USE_AUDIT:
		return true
	default:
		return false
	}
}

// checkLinks checks heads and refs, which point to other statements.
func checkLinks(st *karaulav1.Statement) error {
	if len(st.GetHeads()) > MaxHeads || len(st.GetRefs()) > MaxRefs {
		return malformed("%d heads and %d refs, at most %d and %d are admitted",
			len(st.GetHeads()), len(st.GetRefs()), MaxHeads, MaxRefs)
	}
	seen := make(map[string]bool, len(st.GetHeads()))
	for i, h := range st.GetHeads() {
		if len(h.GetLedger()) != digestSize || len(h.GetRoot()) != digestSize || h.GetEpoch() < 1 ||
			seen[string(h.GetLedger())] {
			return malformed("head %d is not one, or its ledger is named twice", i)
		}
		seen[string(h.GetLedger())] = true
	}
	if n := len(st.GetConsentRefs()); n > 1 || n > 0 && st.GetKind() != karaulav1.Kind_KIND_ALERT {
		return malformed("%d consent_refs in a statement of kind %s", n, terms.KindWord(st.GetKind()))
	}
	for i, r := range slices.Concat(st.GetRefs(), st.GetConsentRefs()) {
		if len(r.GetLedger()) != digestSize || len(r.GetDigest()) != digestSize || r.GetEpoch() < 1 || r.GetSeq() < 1 {
			return malformed("ref %d does not name a statement", i)
		}
	}
	return nil
}

// shape is what a kind of statement must and may have.
type shape struct {
	minParts, maxParts, minRefs int
	body, thread                bool
}

// shapes of the kinds (docs/spec/envelope.md, "Kinds").
var shapes = map[karaulav1.Kind]shape{
	karaulav1.Kind_KIND_ALERT:     {minParts: 1, maxParts: MaxParts, thread: true},
	karaulav1.Kind_KIND_ACT:       {minParts: 1, maxParts: MaxParts, minRefs: 1, thread: true},
	karaulav1.Kind_KIND_RECEIPT:   {body: true},
	karaulav1.Kind_KIND_CARD:      {body: true},
	karaulav1.Kind_KIND_AGREEMENT: {body: true},
	karaulav1.Kind_KIND_NOTICE:    {body: true},
	karaulav1.Kind_KIND_ERASE:     {maxParts: MaxParts, minRefs: 1},
	karaulav1.Kind_KIND_EPOCH:     {body: true},
	karaulav1.Kind_KIND_HEARTBEAT: {},
	karaulav1.Kind_KIND_NULL:      {minParts: 1, maxParts: MaxParts},
	karaulav1.Kind_KIND_EXERCISE:  {body: true},
}

// checkKind checks that the statement has what its kind demands.
func checkKind(st *karaulav1.Statement) error {
	s, word := shapes[st.GetKind()], terms.KindWord(st.GetKind())
	parts, thread := len(st.GetParts()), len(st.GetThread())
	switch {
	case parts < s.minParts || parts > s.maxParts:
		return malformed("%d sealed parts in a statement of kind %s", parts, word)
	case len(st.GetRefs()) < s.minRefs:
		return malformed("no ref in a statement of kind %s", word)
	case thread != idSize && (s.thread || thread != 0):
		return malformed("thread is missing or has the wrong length")
	case st.GetType() != 0 && st.GetKind() != karaulav1.Kind_KIND_ALERT:
		return malformed("a type in a statement of kind %s", word)
	case s.body != (len(st.GetBody()) > 0):
		return refuse(karaulav1.Code_CODE_BAD_BODY, "a body is missing or one too many in a statement of kind %s", word)
	}
	return nil
}
