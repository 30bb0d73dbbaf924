package alert

import (
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxRemark is the longest remark of an act, in characters.
const maxRemark = 2000

// actShape is what an act of a deed must have; what it need not have it must not
// have, but for the remark.
type actShape struct {
	ground, other, relation, remark bool
	onward, party, asked, version   bool // of the deeds of consent; asked: readers and purpose
}

// actShapes of the deeds (docs/spec/life.md, "Acts").
var actShapes = map[karaulav1.Deed]actShape{
	karaulav1.Deed_DEED_SEEN:            {},
	karaulav1.Deed_DEED_ACTED:           {},
	karaulav1.Deed_DEED_NOT_EXECUTED:    {ground: true},
	karaulav1.Deed_DEED_FLAG:            {ground: true},
	karaulav1.Deed_DEED_UNFLAG:          {},
	karaulav1.Deed_DEED_LINK:            {other: true, relation: true},
	karaulav1.Deed_DEED_UNLINK:          {other: true},
	karaulav1.Deed_DEED_ERROR:           {remark: true},
	karaulav1.Deed_DEED_CONSENT_REQUEST: {onward: true, asked: true},
	karaulav1.Deed_DEED_CONSENT:         {onward: true, party: true, asked: true, version: true},
	karaulav1.Deed_DEED_NO_CONSENT:      {onward: true, party: true},
}

// ActFault says what is wrong with an act; "" if nothing is. Sender and receiver
// ask it. It never shows a value.
func ActFault(act *karaulav1.Act) string {
	shape, known := actShapes[act.GetDeed()]
	_, ground := karaulav1.Ground_name[int32(act.GetGround())]
	_, relation := karaulav1.LinkRelation_name[int32(act.GetRelation())]
	other, why := act.GetOther(), badText(act.GetRemark(), true)
	switch {
	case !known:
		return "the deed of the act is not one"
	case !ground || shape.ground != (act.GetGround() != 0):
		return "the ground is missing, is none, or does not belong to the deed"
	case shape.other && (len(other) != 16 || other[6]>>4 != 7 || other[8]>>6 != 2): // RFC 9562, 5.7
		return "the other alert is missing, or its id is none"
	case !shape.other && len(other) != 0:
		return "another alert does not belong to the deed"
	case !relation || shape.relation != (act.GetRelation() != 0):
		return "the relation is missing, is none, or does not belong to the deed"
	case consentFault(act, shape) != "":
		return consentFault(act, shape)
	case (shape.remark || act.GetGround() == karaulav1.Ground_GROUND_OTHER) && act.GetRemark() == "":
		return "the remark is missing"
	case utf8.RuneCountInString(act.GetRemark()) > maxRemark:
		return "the remark is too long"
	case why != "":
		return "the remark " + why
	default:
		return ""
	}
}

// maxOnwardReaders bounds who reads the channel to which something is passed on.
const maxOnwardReaders = 64

// consentFault says what is wrong with what the deeds of consent say.
func consentFault(act *karaulav1.Act, shape actShape) string {
	_, purpose := karaulav1.Purpose_name[int32(act.GetPurpose())]
	version := 0
	if shape.version {
		version = 32
	}
	switch {
	case shape.onward != (act.GetOnward() != ""):
		return "the channel to pass it on to is missing, or does not belong to the deed"
	case shape.onward && !terms.ValidID(act.GetOnward()):
		return "the channel to pass it on to is none"
	case shape.party != (act.GetParty() != "") || shape.party && !terms.ValidParty(act.GetParty()):
		return "who may pass it on is missing, is no party, or does not belong to the deed"
	case shape.asked != (len(act.GetReaders()) > 0) || !ascending(act.GetReaders()):
		return "the readers of that channel are missing, are none, or do not belong to the deed"
	case !purpose || shape.asked != (act.GetPurpose() != 0):
		return "the purpose is missing, is none, or does not belong to the deed"
	case act.GetUntil() < 0 || act.GetUntil() > 0 && !shape.asked:
		return "until when it may be kept is no time, or does not belong to the deed"
	case len(act.GetCommitment()) != version:
		return "the version that is meant is missing, is none, or does not belong to the deed"
	default:
		return ""
	}
}

// ascending reports whether a list holds party codes, each once, in their order.
func ascending(codes []string) bool {
	for i, code := range codes {
		if !terms.ValidParty(code) || i > 0 && codes[i-1] >= code {
			return false
		}
	}
	return len(codes) <= maxOnwardReaders
}

// ActText says in a few words what an act says: its deed, and its ground. It
// shows no remark.
func ActText(act *karaulav1.Act) string {
	text := word(act.GetDeed().Descriptor(), protoreflect.EnumNumber(act.GetDeed()))
	if g := act.GetGround(); g != 0 {
		text += " (" + word(g.Descriptor(), protoreflect.EnumNumber(g)) + ")"
	}
	if act.GetOnward() != "" {
		text += " to " + act.GetOnward()
	}
	return text
}
