package alert

import (
	"fmt"
	"strings"
	"time"

	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// documentFindings gives what the schema cannot state about a document. Who may
// speak of it is a matter of the border: [Check].
func documentFindings(d *karaulav1.Document, now time.Time) Findings {
	var out Findings
	if d.GetNumber() != "" && searchkey.Number(d.GetNumber()) == "" {
		out = append(out, fault("document.number", "document-number", "holds no letter and no digit"))
	}
	if from, to := d.GetBlankFrom(), d.GetBlankTo(); from != "" && to != "" && !searchkey.BlankRange(from, to) {
		out = append(out, fault("document.blank_to", "blank-range", "is not the end of a range that begins with"+
			" blank_from: the same length, the same letters, digits at the end, and not a smaller number"))
	}
	if d.GetStatus() == karaulav1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK &&
		(d.GetHolder() != nil || len(d.GetMrz()) > 0 || d.GetIssuedOn() != "") {
		out = append(out, fault("document.status", "blank-issued",
			"a blank was never issued: it has no holder, no issued_on and no mrz"))
	}
	if after(d.GetIssuedOn(), now) {
		out = append(out, fault("document.issued_on", "document-dates", "lies in the future"))
	}
	if i, e := d.GetIssuedOn(), d.GetExpiresOn(); i != "" && e != "" && e < i {
		out = append(out, fault("document.expires_on", "document-dates", "lies before issued_on"))
	}
	switch d.GetStatus() { //nolint:exhaustive // the others ask for nothing more
	case karaulav1.DocumentStatus_DOCUMENT_STATUS_STOLEN, karaulav1.DocumentStatus_DOCUMENT_STATUS_LOST,
		karaulav1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK:
		if d.GetLostAt() == 0 {
			out = append(out, warning("document.lost_at", "document-loss", "should say when it was taken or lost"))
		}
	case karaulav1.DocumentStatus_DOCUMENT_STATUS_FORGED:
		if len(d.GetFraudFeatures()) == 0 {
			out = append(out, warning("document.fraud_features", "document-fraud", "should say how the forgery is known"))
		}
	}
	return append(out, mrzFindings(d)...)
}

// mrzFindings holds the machine-readable zone against its own check digits and
// against the fields beside it. The zone of a forged document may be wrong, and
// that is worth telling: there it is only warned of.
func mrzFindings(d *karaulav1.Document) Findings {
	if len(d.GetMrz()) == 0 {
		return nil
	}
	z, ok := readZone(d.GetMrz())
	if !ok {
		return Findings{fault("document.mrz", "mrz-form", "must be 3 lines of 30, 2 of 36 or 2 of 44 (ICAO Doc 9303)")}
	}
	say := fault
	if d.GetStatus() == karaulav1.DocumentStatus_DOCUMENT_STATUS_FORGED {
		say = warning
	}
	var out Findings
	add := func(line int, rule, text string) {
		out = append(out, say(fmt.Sprintf("document.mrz[%d]", line), rule, text))
	}
	if !strings.Contains(mrzCodes(d.GetKind()), z.code[:1]) {
		add(0, "mrz-kind", "begins with the letter of another kind of document (ICAO Doc 9303-3)")
	}
	if !strings.ContainsRune("MFX<", rune(z.sex)) {
		add(z.data, "mrz-sex", "states a sex that is not M, F, X or <")
	}
	for _, what := range z.wrong() {
		add(z.data, "mrz-check-digit", "the check digit of "+what+" does not fit (ICAO Doc 9303-3, 4.9)")
	}
	if !z.hasState(d.GetIssuingState(), d.GetIssuingStateAsPrinted()) {
		add(0, "mrz-state", "names another issuing state than issuing_state")
	}
	if d.GetNumber() != "" && !z.hasNumber(d.GetNumber()) {
		add(z.numbered, "mrz-number", "holds another number than the field number")
	}
	if !sameDay(z.expiry, d.GetExpiresOn()) {
		add(z.data, "mrz-expiry", "holds another date of expiry than expires_on")
	}
	if !sameDay(z.birth, d.GetHolder().GetBirthDate()) {
		add(z.data, "mrz-birth", "holds another date of birth than holder.birth_date")
	}
	return out
}

// mrzCodes gives the first letters that a kind of document may bear in its zone.
func mrzCodes(k karaulav1.DocumentKind) string {
	switch k {
	case karaulav1.DocumentKind_DOCUMENT_KIND_PASSPORT:
		return "P"
	case karaulav1.DocumentKind_DOCUMENT_KIND_VISA:
		return "V"
	case karaulav1.DocumentKind_DOCUMENT_KIND_IDENTITY_CARD, karaulav1.DocumentKind_DOCUMENT_KIND_RESIDENCE_PERMIT:
		return "IAC"
	case karaulav1.DocumentKind_DOCUMENT_KIND_TRAVEL_DOCUMENT:
		return "PIAC"
	default: // the others follow national practice
		return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	}
}

// partyStates are the issuing states, in the form of [searchkey.State], for
// whose documents a party speaks.
var partyStates = map[string][]string{
	"al": {"AL"}, "ba": {"BA"}, "xk": {"XK"}, "mk": {"MK"}, "me": {"ME"}, "rs": {"RS"},
	"at": {"AUT"}, "bg": {"BGR"}, "gr": {"GRC"}, "hr": {"HRV"}, "hu": {"HUN"}, "it": {"ITA"}, "md": {"MDA"},
	"ro": {"ROU"}, "si": {"SVN"}, "tr": {"TUR"},
}

// issuerFindings lets only the issuing state speak of a document (the rule of
// INTERPOL's database of stolen and lost travel documents): a party that may
// declare another's passports invalid could strand whom it likes. A party for
// which no state is known speaks of none.
func issuerFindings(d *karaulav1.Document, origin string) Findings {
	if d == nil {
		return nil
	}
	for _, s := range partyStates[origin] {
		if searchkey.State(d.GetIssuingState()) == s {
			return nil
		}
	}
	return Findings{fault("document.issuing_state", "issuer",
		"only the issuing state may create an alert on its document, and the party that says this one is not that state")}
}
