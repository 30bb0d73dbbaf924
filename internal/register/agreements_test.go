package register

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/agreement"
	"karaula/internal/notice"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestAddAgreementUnitesSignatures(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk")
	text := draft(t, "t01", "al,me,xk", someTypes)
	for _, step := range []struct {
		by              []string
		signed, missing []string
		known           bool
	}{
		{[]string{"me"}, []string{"me"}, []string{"al", "xk"}, false},
		{[]string{"me"}, []string{"me"}, []string{"al", "xk"}, true},
		{[]string{"xk"}, []string{"me", "xk"}, []string{"al"}, false},
		{[]string{"al"}, []string{"al", "me", "xk"}, nil, false},
		{[]string{"al", "xk"}, []string{"al", "me", "xk"}, nil, true},
	} {
		res := add(t, r, sign(t, text, step.by...))
		if !cmp.Equal(res.SignedBy, step.signed) || !cmp.Equal(res.Missing, step.missing) || res.Known != step.known ||
			res.Complete != (len(step.missing) == 0) {
			t.Errorf("after %v: %+v", step.by, res)
		}
	}
	a := mustOne(t, r.View().Agreements())
	if again, err := agreement.Open(a.File); err != nil || !again.Complete() || !bytes.Equal(again.Agreement.Text, text) {
		t.Errorf("the kept file: %v\n%s", err, a.File)
	}
	if e, ok := r.View().AgreementByDigest(a.Agreement.Digest); !ok || !e.Complete {
		t.Error("not found by its digest")
	}
}

func mustOne[T any](t testing.TB, list []T) T {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("%d of them, want one: %v", len(list), list)
	}
	return list[0]
}

func TestAddAgreementRefuses(t *testing.T) {
	t.Parallel()
	al := who(t, "al")
	r, text := bilateral(t)
	bad := strings.Replace(string(sign(t, draft(t, "b05", "al,me", someTypes), "me")), "quota 1GiB", "quota 2GiB", 1)
	rogue := draft(t, "b02", "al,me", someTypes, al.root.VKey, al.rogue.VKey)
	twin := draft(t, "b01", "al,me", someTypes, "quota 1GiB", "quota 2GiB")
	squat := draft(t, "b03", "al,me", someTypes, "channel b03", "channel b01")
	for name, c := range map[string]struct {
		file []byte
		kind problem.Kind
	}{
		"errors in the text":     {[]byte("karaula agreement v1\n"), problem.Invalid},
		"nobody signed":          {draft(t, "b02", "al,me", someTypes), problem.Invalid},
		"self is no party":       {signAll(t, draft(t, "b02", "me,xk", someTypes)), problem.Invalid},
		"a bad signature":        {[]byte(bad), problem.Verification},
		"another root for self":  {sign(t, rogue, "me"), problem.Verification},
		"same id and version":    {signAll(t, twin), problem.Conflict},
		"of another first text":  {sign(t, follow(t, text, twin, "5"), "me"), problem.NotFound},
		"a channel of another":   {sign(t, squat, "me"), problem.Conflict},
		"an older version after": {sign(t, follow(t, draft(t, "b01", "al,me", someTypes), text, "1"), "me"), problem.Invalid},
	} {
		if res, err := r.AddAgreement(c.file); !problem.Is(err, c.kind) {
			t.Errorf("%s: %+v, %v; want kind %v", name, res, err, c.kind)
		}
	}
	e := mustOne(t, r.View().Agreements())
	if !bytes.Equal(e.Agreement.Text, text) || !e.Complete {
		t.Error("the agreement in force changed")
	}
	if got := r.View().Conflicts(); len(got) != 2 {
		t.Errorf("evidence: %v", got)
	}
	none, err := Open(t.TempDir(), "al")
	must(t, err)
	if _, err := none.AddAgreement(sign(t, text, "me")); !problem.Is(err, problem.NotFound) {
		t.Errorf("without an own card: %v", err)
	}
}

// TestProposalsBlockNothing: a stranger's proposal under an id does not keep
// the real agreement out.
func TestProposalsBlockNothing(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk")
	squat := draft(t, "b02", "al,me", someTypes, "quota 1GiB", "quota 7GiB")
	add(t, r, sign(t, squat, "me"))
	add(t, r, sign(t, draft(t, "b09", "al,me", someTypes, "channel b09", "channel b02"), "me"))
	genuine := signAll(t, draft(t, "b02", "al,xk", someTypes))
	res := add(t, r, genuine)
	if !res.Complete || len(res.Warnings) == 0 {
		t.Errorf("the real one: %+v", res)
	}
	if c, ok := r.View().Channel("b02"); !ok || !cmp.Equal(c.Parties, []string{"al", "xk"}) {
		t.Errorf("channel: %+v", c)
	}
	if got := r.View().Conflicts(); len(got) != 1 {
		t.Errorf("evidence: %v", got)
	}
	if _, err := r.AddAgreement(sign(t, squat, "me")); !problem.Is(err, problem.Conflict) {
		t.Errorf("the squatter again: %v", err)
	}
}

func TestTombstones(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	text := draft(t, "b01", "al,me", someTypes)
	file := signAll(t, text)
	add(t, r, file)
	if err := r.RemoveAgreement("b01"); !problem.Is(err, problem.Conflict) || problem.HintOf(err) == "" {
		t.Fatalf("removed in force: %v", err)
	}
	if err := r.RemoveAgreement("b77"); !problem.Is(err, problem.NotFound) {
		t.Errorf("removed what is not there: %v", err)
	}
	must(t, r.AddNotice(who(t, "al").noticeFile(t, 1, notice.Suspend, text, start)))
	must(t, r.RemoveAgreement("b01"))
	if got := r.View().Agreements(); len(got) != 0 {
		t.Errorf("still there: %v", got)
	}
	other := signAll(t, draft(t, "b01", "al,me", someTypes, "quota 1GiB", "quota 2GiB"))
	if _, err := r.AddAgreement(other); !problem.Is(err, problem.Conflict) {
		t.Errorf("the id used again: %v", err)
	}
	channel := signAll(t, draft(t, "b03", "al,me", someTypes, "channel b03", "channel b01"))
	if _, err := r.AddAgreement(channel); !problem.Is(err, problem.Conflict) {
		t.Errorf("the channel used again: %v", err)
	}
	if res := add(t, r, file); !res.Complete {
		t.Errorf("the same agreement back: %+v", res)
	}
	r.SetClock(func() time.Time { return end.Add(31 * day) })
	must(t, r.AddNotice(who(t, "al").noticeFile(t, 2, notice.Resume, text, start)))
	if err := r.RemoveAgreement("b01"); err != nil {
		t.Errorf("a closed one: %v", err)
	}
}

func TestRemoveProposals(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	first := draft(t, "b01", "al,me", someTypes)
	add(t, r, sign(t, first, "me"))
	must(t, r.RemoveAgreement("b01"))
	text := draft(t, "b01", "al,me", someTypes, "quota 1GiB", "quota 2GiB")
	add(t, r, signAll(t, text)) // nobody here had signed the first one: the id is free
	next := follow(t, draft(t, "b01", "al,me", someTypes, "quota 1GiB", "quota 3GiB"), text, "2")
	add(t, r, sign(t, next, "me"))
	must(t, r.RemoveAgreement("b01"))
	if e := mustOne(t, r.View().Agreements()); e.Agreement.Version != 1 {
		t.Errorf("removed the wrong one: %v", e.Agreement.Version)
	}
}

func TestAmendment(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk")
	one := draft(t, "t01", "al,me,xk", someTypes)
	from := start.Add(100 * day)
	two := follow(t, draft(t, "t01", "al,me", []karaulav1.AlertType{vehicle, hit},
		"valid-from "+agreement.FormatTime(start), "valid-from "+agreement.FormatTime(from)), one, "2")
	add(t, r, signAll(t, one))

	// Leaving xk out takes xk's consent.
	if res := add(t, r, sign(t, two, "al", "me")); res.Complete || !cmp.Equal(res.Missing, []string{"xk"}) {
		t.Fatalf("without the consent of who leaves: %+v", res)
	}
	if d := r.View().Decide("al", "t01", hit, from); d.Allowed {
		t.Errorf("a proposal has an effect: %+v", d)
	}
	if res := add(t, r, sign(t, two, "xk")); !res.Complete || len(res.Warnings) != 0 {
		t.Fatalf("with it: %+v", res)
	}
	v := r.View()
	for _, c := range []struct {
		name    string
		from    string
		typ     karaulav1.AlertType
		at      time.Time
		allowed bool
		code    string
	}{
		{"old text before", "xk", route, from.Add(-tick), true, CodeAllowed},
		{"new clause before", "al", hit, from.Add(-tick), false, CodeNoClause},
		{"new clause after", "al", hit, from, true, CodeAllowed},
		{"old clause after", "al", route, from, false, CodeNoClause},
		{"who left", "xk", vehicle, from, false, CodeNotParty},
	} {
		if d := v.Decide(c.from, "t01", c.typ, c.at); d.Allowed != c.allowed || d.Code != c.code {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
	before, _ := v.ChannelAt("t01", from.Add(-tick))
	after, _ := v.ChannelAt("t01", from)
	if before.First != after.First || before.Agreement.Digest == after.Agreement.Digest {
		t.Error("the ledger does not go on under the new text")
	}
	leaving := map[string]time.Time{"xk": from.Add(30 * day)}
	if !cmp.Equal(after.Leaving, leaving) || !cmp.Equal(after.Parties, []string{"al", "me"}) {
		t.Errorf("parties %v, leaving %v", after.Parties, after.Leaving)
	}
	old, _ := agreement.Lint(one)
	if d := v.DecideUnder(old.Digest, "xk", "t01", vehicle, from.Add(-tick)); !d.Allowed {
		t.Errorf("under the old text, before: %+v", d)
	}
	if d := v.DecideUnder(old.Digest, "xk", "t01", vehicle, from); d.Allowed || d.Code != CodeSuperseded {
		t.Errorf("under the old text, after: %+v", d)
	}
	if d := v.DecideUnder([32]byte{1}, "xk", "t01", vehicle, from); d.Code != CodeNoAgreement {
		t.Errorf("under an unknown text: %+v", d)
	}

	// On the node of who left, the channel winds down.
	xk := node(t, "xk", "al", "me")
	add(t, xk, signAll(t, one))
	add(t, xk, sign(t, two, "al", "me", "xk"))
	c, ok := xk.View().ChannelAt("t01", from)
	if !ok || c.PhaseAt(from) != agreement.WindingDown || c.PhaseAt(from.Add(30*day)) != agreement.Closed {
		t.Errorf("who left: %+v", c)
	}
}

// TestJoin: who joins with version 2 never sees version 1; who lost a disk
// gets it later.
// A channel keeps its mode: otherwise what was practised would stand among what was
// meant. That holds for one that a version in between left out, too.
func TestAChannelKeepsItsMode(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	one := draft(t, "t01", "al,me", someTypes, "exercise no", "exercise yes", "mode=actual", "mode=exercise")
	without := follow(t, draft(t, "t01", "al,me", someTypes, "channel t01 ", "channel t01-b "), one, "2")
	add(t, r, signAll(t, one))
	before := tree(t, r)
	_, err := r.AddAgreement(signAll(t, follow(t, draft(t, "t01", "al,me", someTypes), one, "2")))
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "mode exercise") {
		t.Errorf("another mode: %v", err)
	}
	if !cmp.Equal(before, tree(t, r)) {
		t.Error("the refused text lies in the register")
	}
	add(t, r, signAll(t, without))
	_, err = r.AddAgreement(signAll(t, follow(t, draft(t, "t01", "al,me", someTypes), without, "3")))
	if !problem.Is(err, problem.Invalid) {
		t.Errorf("another mode after a version without the channel: %v", err)
	}
	if c, ok := r.View().At(start).Channel("t01"); !ok || c.Channel.Mode != karaulav1.Mode_MODE_EXERCISE {
		t.Errorf("the channel: %+v", c)
	}
}

// A channel that has ended or not begun has its text all the same.
func TestWithoutText(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	add(t, r, signAll(t, draft(t, "t01", "al,me", someTypes)))
	for name, at := range map[string]time.Time{"before": start.Add(-day), "in force": start, "closed": end.AddDate(1, 0, 0)} {
		if got := r.View().At(at).WithoutText([]string{"t01", "t02"}); !cmp.Equal(got, []string{"t02"}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	one := draft(t, "t01", "al,me,xk", someTypes)
	two := follow(t, draft(t, "t01", "al,me,rs", someTypes), one, "2")
	file := sign(t, two, "al", "me", "rs", "xk")
	rs := node(t, "rs", "al", "me")
	if res := add(t, rs, file); !res.Complete {
		t.Errorf("the joiner: %+v", res)
	}
	al := node(t, "al", "me")
	if res := add(t, al, file); !res.Complete {
		t.Errorf("without version 1: %+v", res)
	}
	add(t, al, signAll(t, one))
	for _, e := range al.View().Agreements() {
		if !e.Complete {
			t.Errorf("version %d lost its signatures: missing %v", e.Agreement.Version, e.Missing)
		}
	}
}

func TestTooManyProposals(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	var last error
	n := 0
	for ; n < maxProposals+5 && last == nil; n++ {
		id := "p" + strings.Repeat("a", n%26+1) + string(rune('a'+n/26))
		_, last = r.AddAgreement(sign(t, draft(t, id, "al,me", someTypes), "me"))
	}
	if !problem.Is(last, problem.Conflict) || n != maxProposals+1 {
		t.Errorf("proposal %d: %v", n, last)
	}
	add(t, r, signAll(t, draft(t, "real", "al,me", someTypes)))
}
