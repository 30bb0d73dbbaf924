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
		{Key: "root", Min: 0, Max: 1, Read: r.root},
		{Key: "next", Min: 0, Max: 1, Read: r.next},
		{Key: "after", Min: 0, Max: 1, Read: r.after},
		{Key: "stands", Min: 0, Max: MaxStands, Read: r.stands},
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

func (r *reader) root(l signedtext.Line) string {
	r.n.Root = l.Rest
	if _, _, err := signedtext.ParseVKey(l.Rest); err != nil {
		return err.Error()
	}
	return ""
}

func (r *reader) after(l signedtext.Line) string {
	d, ok := signedtext.ParseDigest(l.Rest)
	r.n.After = d
	if !ok {
		return "not a sha256: digest"
	}
	return ""
}

func (r *reader) stands(l signedtext.Line) string {
	kind, rest, _ := strings.Cut(l.Rest, " ")
	d, ok := signedtext.ParseDigest(rest)
	if !ok || !slices.Contains(standKinds, kind) {
		return "not one of " + strings.Join(standKinds, ", ") + " and its sha256: digest"
	}
	s := Stand{kind, d}
	if n := len(r.n.Stands); n > 0 && compareStands(r.n.Stands[n-1], s) >= 0 {
		return "not in ascending order, or twice"
	}
	r.n.Stands = append(r.n.Stands, s)
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
	change, roots := r.n.Act == RootChange, aboutRoots(r.n.Act)
	if (r.n.Agreement == AllAgreements) != roots || (r.n.Digest == [32]byte{}) != change {
		fault("agreement", `only acts about roots are about "all", and only a root change about digest "none"`)
	}
	if (r.n.Next != "") != roots {
		fault("next", `"next" stands in acts about roots and nowhere else`)
	}
	if (r.n.Root != "") != change || (r.n.After != [32]byte{}) != change || len(r.n.Stands) > 0 && !change {
		fault("root", `"root" and "after" stand in a root change, "stands" nowhere else`)
	}
	name, _, _ := signedtext.ParseVKey(r.n.Next)
	old, _, _ := signedtext.ParseVKey(r.n.Root)
	switch {
	case change && (name != r.n.Party || old != r.n.Party):
		fault("next", "the roots are not named like the party")
	case r.n.Act == AcceptRoot && (name == r.n.Party || !terms.ValidParty(name)):
		fault("next", "the root that is accepted is not named like another party")
	case change && (r.n.Next == r.n.Root || r.n.After == signedtext.KeyDigest(r.n.Next) || r.n.After == signedtext.KeyDigest(r.n.Root)):
		fault("next", "the replaced root, the next one and the one after it are three keys")
	}
	return out
}
