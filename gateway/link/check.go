package link

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/card"
	"karaula/internal/subject"
	"karaula/internal/terms"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// errContent says that a field has no admissible value. The text never shows values.
var errContent = errors.New("not admissible")

// bad names the field that is not admissible.
func bad(field string) error { return fmt.Errorf("%w: %s", errContent, field) }

// parseRequest reads the body of a validly signed request. When it cannot be
// answered, the code says why, and the request is given as far as it could be
// read (nil when not even its id is known).
func parseRequest(body []byte) (*karaulav1.LinkRequest, Code) {
	r := new(karaulav1.LinkRequest)
	if err := wire.Unmarshal(body, r, subject.MaxLinkRequest); err != nil {
		return looseRequest(body)
	}
	if len(r.GetId()) != idSize {
		return nil, CodeMalformed
	}
	if r.GetFormat() != Format {
		return r, CodeUnsupported
	}
	if checkRequest(r) != nil {
		return r, CodeMalformed
	}
	return r, ""
}

// looseRequest reads a signed body that is not in the strict form of this
// version, to tell a newer partner that it is too new. Nothing of it is done.
func looseRequest(body []byte) (*karaulav1.LinkRequest, Code) {
	r := new(karaulav1.LinkRequest)
	if len(body) > subject.MaxLinkRequest || proto.Unmarshal(body, r) != nil || len(r.GetId()) != idSize {
		return nil, CodeMalformed
	}
	if r.GetFormat() != Format || len(r.ProtoReflect().GetUnknown()) > 0 {
		return r, CodeUnsupported
	}
	return r, CodeMalformed
}

// checkRequest checks every field of a request.
func checkRequest(r *karaulav1.LinkRequest) error {
	if !terms.ValidParty(r.GetFrom()) || !terms.ValidParty(r.GetTo()) {
		return bad("from or to")
	}
	if len(r.GetId()) != idSize || r.GetAskedAt() <= 0 {
		return bad("id or asked_at")
	}
	switch ask := r.GetAsk().(type) {
	case *karaulav1.LinkRequest_Hello:
		return checkStanding(ask.Hello.GetStanding())
	case *karaulav1.LinkRequest_Rewind:
		w := ask.Rewind
		if !terms.ValidID(w.GetChannel()) || w.GetEpoch() == 0 || w.GetFromSeq() == 0 {
			return bad("rewind")
		}
		return nil
	case *karaulav1.LinkRequest_Get:
		return checkGet(ask.Get)
	case *karaulav1.LinkRequest_Offer:
		if n := len(ask.Offer.GetCard()); n == 0 || n > card.MaxFile {
			return bad("offer")
		}
		return nil
	}
	return bad("ask")
}

// checkGet checks what is asked for by name.
func checkGet(g *karaulav1.Get) error {
	switch what := g.GetWhat().(type) {
	case *karaulav1.Get_Card, *karaulav1.Get_Notices:
		return nil
	case *karaulav1.Get_Agreement:
		if len(what.Agreement.GetDigest()) != hashSize {
			return bad("agreement")
		}
		return nil
	case *karaulav1.Get_Stubs:
		return checkRange(what.Stubs)
	case *karaulav1.Get_Statements:
		return checkRange(what.Statements)
	case *karaulav1.Get_Frontier:
		f := what.Frontier
		if len(f.GetLedger()) != hashSize || f.GetEpoch() == 0 || f.GetSize() == 0 {
			return bad("frontier")
		}
		return nil
	}
	return bad("what")
}

// checkRange checks a range of a ledger.
func checkRange(g *karaulav1.GetStatements) error {
	if len(g.GetLedger()) != hashSize || g.GetEpoch() == 0 || g.GetFromSeq() == 0 || g.GetToSeq() < g.GetFromSeq() {
		return bad("statements")
	}
	return nil
}

// checkStanding checks what a party says that it has.
func checkStanding(s *karaulav1.Standing) error {
	switch {
	case s == nil:
		return bad("standing")
	case len(s.GetVersions()) == 0 || len(s.GetVersions()) > maxVersions:
		return bad("versions")
	case s.GetCardSerial() == 0 || len(s.GetCardDigest()) != hashSize:
		return bad("card")
	case len(s.GetAgreements()) > maxAgreements:
		return bad("agreements")
	case len(s.GetOwnHeads())+len(s.GetSeenHeads()) > maxHeads:
		return bad("heads")
	}
	for _, a := range s.GetAgreements() {
		if !terms.ValidID(a.GetId()) || a.GetVersion() == 0 || len(a.GetDigest()) != hashSize ||
			len(a.GetSignedBy()) > maxSigned {
			return bad("agreement")
		}
		for _, p := range a.GetSignedBy() {
			if !terms.ValidParty(p) {
				return bad("signed_by")
			}
		}
	}
	for _, heads := range [][]*karaulav1.Head{s.GetOwnHeads(), s.GetSeenHeads()} {
		for _, h := range heads {
			if len(h.GetLedger()) != hashSize || len(h.GetRoot()) != hashSize || h.GetEpoch() == 0 {
				return bad("head")
			}
		}
	}
	return nil
}

// parseReply reads the body of a validly signed reply.
func parseReply(body []byte) (*karaulav1.LinkReply, error) {
	r := new(karaulav1.LinkReply)
	if err := wire.Unmarshal(body, r, subject.MaxLinkReply); err != nil {
		return nil, err
	}
	if r.GetFormat() != Format || len(r.GetId()) != idSize || r.GetAnsweredAt() <= 0 {
		return nil, bad("format, id or answered_at")
	}
	switch a := r.GetAnswer().(type) {
	case *karaulav1.LinkReply_Hello:
		return r, checkStanding(a.Hello.GetStanding())
	case *karaulav1.LinkReply_Rewind:
		if a.Rewind.GetEpoch() == 0 || a.Rewind.GetFromSeq() == 0 {
			return nil, bad("rewind")
		}
		return r, nil
	case *karaulav1.LinkReply_Get:
		return r, checkGetReply(a.Get)
	case *karaulav1.LinkReply_Offer:
		if a.Offer.GetCardSerial() == 0 {
			return nil, bad("offer")
		}
		return r, nil
	case *karaulav1.LinkReply_Refusal:
		return r, nil
	}
	return nil, bad("answer")
}

// checkGetReply checks number and sizes of what was given.
func checkGetReply(g *karaulav1.GetReply) error {
	if len(g.GetTexts()) > maxTexts || len(g.GetEnvelopes()) > maxStatements || len(g.GetFrontier()) > maxFrontier {
		return bad("too many")
	}
	for _, t := range g.GetTexts() {
		if len(t) == 0 || len(t) > maxText {
			return bad("text")
		}
	}
	for _, e := range g.GetEnvelopes() {
		if len(e) == 0 {
			return bad("envelope")
		}
	}
	for _, h := range g.GetFrontier() {
		if len(h) != hashSize {
			return bad("hash")
		}
	}
	return nil
}

// fresh reports whether a time on the wire (microseconds since 1970) is within
// skew of now.
func fresh(micros int64, now time.Time, skew time.Duration) bool {
	d := now.Sub(time.UnixMicro(micros))
	return d <= skew && d >= -skew
}
