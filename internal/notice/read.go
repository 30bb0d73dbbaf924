package notice

import (
	"slices"
	"strings"
	"unicode/utf8"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
)

// parse reads a file without its signatures' worth and counts its signature
// lines.
func parse(file []byte) (n *Notice, signatures int, err error) {
	if len(file) > MaxFile {
		return nil, 0, problem.New(problem.Invalid, "notice of %d bytes is above the limit of %d", len(file), MaxFile)
	}
	text, _, err := signedtext.Split(file)
	if err != nil {
		return nil, 0, problem.Wrap(problem.Invalid, err, "notice")
	}
	n, findings := check(text)
	if len(findings) > 0 {
		return nil, 0, signedtext.Problem(problem.Invalid, "notice", findings)
	}
	claimed, err := signedtext.Claimed(file)
	if err != nil {
		return nil, 0, err
	}
	n.Text = append([]byte(nil), text...)
	n.TextID = signedtext.Digest(text)
	n.Signed = append([]byte(nil), file...)
	return n, len(claimed), nil
}

// check reads a text and gives everything that is wrong with it.
func check(text []byte) (*Notice, []signedtext.Finding) {
	r := &reader{}
	findings := signedtext.CheckText(text, signedtext.Human{"reason": signedtext.Quoted})
	if len(findings) == 0 {
		findings = signedtext.ReadForm(text, Head, r.rules())
	}
	if len(findings) == 0 {
		findings = r.whole()
	}
	if len(findings) == 0 && string(r.n.Encode()) != string(text) {
		// Unreachable while the readers accept one spelling only; a second lock.
		findings = append(findings, signedtext.Finding{Code: "spelling", Text: "the notice is not in its only spelling"})
	}
	return &r.n, findings
}

// reader reads the lines of one notice.
type reader struct{ n Notice }

// rules is the form of a notice: its lines, in this order.
func (r *reader) rules() []signedtext.Rule {
	return []signedtext.Rule{
		{Key: "party", Min: 1, Max: 1, Read: r.party},
		{Key: "serial", Min: 1, Max: 1, Read: r.serial},
		{Key: "agreement", Min: 1, Max: 1, Read: r.agreement},
		{Key: "digest", Min: 1, Max: 1, Read: r.digest},
		{Key: "act", Min: 1, Max: 1, Read: r.act},
		{Key: "effective", Min: 1, Max: 1, Read: r.effective},
		{Key: "next", Min: 0, Max: 1, Read: r.next},
		{Key: "reason", Min: 1, Max: 1, Read: r.reason},
	}
}

func (r *reader) party(l signedtext.Line) string {
	r.n.Party = l.Rest
	if !terms.ValidParty(l.Rest) {
		return "not a party code"
	}
	return ""
}

func (r *reader) serial(l signedtext.Line) string {
	n, ok := signedtext.Uint(l.Rest)
	r.n.Serial = n
	if !ok || n == 0 {
		return "not a number from 1"
	}
	return ""
}

func (r *reader) agreement(l signedtext.Line) string {
	r.n.Agreement = l.Rest
	if l.Rest != AllAgreements && !terms.ValidID(l.Rest) {
		return "not an agreement id"
	}
	return ""
}

func (r *reader) digest(l signedtext.Line) string {
	if l.Rest == "none" {
		return ""
	}
	d, ok := signedtext.ParseDigest(l.Rest)
	r.n.Digest = d
	if !ok {
		return "not a sha256: digest"
	}
	return ""
}

func (r *reader) act(l signedtext.Line) string {
	r.n.Act = l.Rest
	if !slices.Contains(Acts(), l.Rest) {
		return "not one of " + strings.Join(Acts(), ", ")
	}
	return ""
}

func (r *reader) effective(l signedtext.Line) string {
	t, ok := signedtext.Time(l.Rest)
	r.n.Effective = t
	if !ok {
		return "not a time like 2026-05-01T00:00:00Z"
	}
	return ""
}

func (r *reader) next(l signedtext.Line) string {
	r.n.Next = l.Rest
	if _, _, err := signedtext.ParseVKey(l.Rest); err != nil {
		return err.Error()
	}
	return ""
}

func (r *reader) reason(l signedtext.Line) string {
	text, ok := signedtext.Quote(l.Rest, 4*MaxReason)
	r.n.Reason = text
	if !ok || text == "" || utf8.RuneCountInString(text) > MaxReason || strings.TrimSpace(text) != text {
		return "not a quoted text of 1 to 200 characters"
	}
	return ""
}

// whole checks what no single line shows.
func (r *reader) whole() []signedtext.Finding {
	var out []signedtext.Finding
	fault := func(code, text string) { out = append(out, signedtext.Finding{Code: code, Text: text}) }
	change := r.n.Act == RootChange
	if (r.n.Agreement == AllAgreements) != change || (r.n.Digest == [32]byte{}) != change {
		fault("agreement", `a root change is about agreement "all" with digest "none", any other act about one text`)
	}
	if (r.n.Next != "") != change {
		fault("next", `"next" stands in a root change and nowhere else`)
	}
	if r.n.Next != "" {
		if name, _, err := signedtext.ParseVKey(r.n.Next); err == nil && name != r.n.Party {
			fault("next", "the next root is not named like the party")
		}
	}
	return out
}
