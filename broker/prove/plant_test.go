package prove

import (
	"bytes"
	"strings"
	"testing"

	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/testworld"
)

// three makes al's broker: b01-al-me with me, t01-al-me-xk with both.
func three(t *testing.T) (*testworld.World, Site) {
	t.Helper()
	w := testworld.New(t, "al", "me", "xk", "audit")
	w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	w.Agree(w.Text("t01-al-me-xk", []string{"al", "me", "xk", "audit"}))
	return w, site(t, w, "al", w.Now)
}

// garden is a site in whose text something is planted.
type garden struct {
	*Site
	t *testing.T
}

// edit replaces something that must be in the text.
func (s *garden) edit(old, with string, times int) {
	s.t.Helper()
	if !bytes.Contains(s.Text, []byte(old)) {
		s.t.Fatalf("the text has no %q", old)
	}
	s.Text = bytes.Replace(s.Text, []byte(old), []byte(with), times)
}

// after puts a line behind the first line that holds some words, as it comes
// after a mark.
func (s *garden) after(mark, words, line string) {
	s.t.Helper()
	at := bytes.Index(s.Text, []byte(mark))
	if at < 0 {
		s.t.Fatalf("the text has no %q", mark)
	}
	i := bytes.Index(s.Text[at:], []byte(words))
	if i < 0 {
		s.t.Fatalf("the text has no %q after %q", words, mark)
	}
	i += at
	end := i + bytes.IndexByte(s.Text[i:], '\n') + 1
	s.Text = append(append(bytes.Clone(s.Text[:end]), line+"\n"...), s.Text[end:]...)
}

// open lets an account use one more service of the owner's.
func (s *garden) open(account, subj string) {
	s.t.Helper()
	s.after(`"AL" {`, "exports: [", `{ service: "`+subj+`", accounts: ["`+account+`"] }`)
	s.after(`"`+account+`" {`, "imports: [", `{ service: { account: "AL", subject: "`+subj+`" } }`)
	s.after(`"`+account+`" {`, "allow: [", `"`+subj+`"`)
}

// want is a counterexample that must be there: what each judge says by itself.
type want struct{ who, subject, agreed, text, live string }

func (x want) in(r *Report) bool {
	for _, m := range r.Mismatches {
		if m.Broker == "al" && m.Who == x.who && strings.Contains(m.What+" "+m.Subject, x.subject) &&
			word(m.Agreed) == x.agreed && m.Text == x.text && m.Live == x.live {
			return true
		}
	}
	return false
}

// TestWhatIsPlantedIsFound plants what must not be, and what must not lack, and
// sees the text's judge and the live broker's judge find it, each by itself.
func TestWhatIsPlantedIsFound(t *testing.T) {
	t.Parallel()
	next := subject.Next(subject.Actual("b01-al-me"), "xk")
	own := subject.Next(subject.Actual("b01-al-me"), "me")
	imports := `{ service: { account: "AL", subject: "` + next + `" } }`
	for name, c := range map[string]struct {
		plant func(*garden)
		want  []want
	}{
		"a type that no clause names": {
			func(s *garden) {
				s.after("# gateway", "allow: [", `"k1.b01-al-me.al.patrol"`)
			},
			[]want{
				{"gateway of al", "k1.b01-al-me.al.patrol", "no", "yes", "yes"},
				{"partner me", "read patrol that al says on b01-al-me", "no", "yes", "yes"},
			},
		},
		"a wrong clause": {
			func(s *garden) {
				s.edit("k1.b01-al-me.al.vehicle", "k1.b01-al-me.al.patrol", -1)
			},
			[]want{
				{"partner me", "read patrol that al says on b01-al-me", "no", "yes", "yes"},
				{"partner me", "read vehicle that al says on b01-al-me", "yes", "no", "no"},
			},
		},
		"a channel of others, whole": {
			func(s *garden) {
				s.after(`"PEER_XK" {`, "imports: [", imports)
				s.after(`"PEER_XK" {`, "allow: [", `"`+next+`"`)
				s.edit("exports: [", "exports: [\n{ service: \""+next+`", accounts: ["PEER_XK"], response_type: stream }`, 1)
			},
			[]want{{"partner xk", next, "no", "yes", "yes"}},
		},
		"a channel of others, its permission only": {
			func(s *garden) { s.after(`"PEER_XK" {`, "allow: [", `"`+next+`"`) },
			[]want{{"partner xk", next, "no", "yes", "yes"}},
		},
		"a channel of others, its account only": {
			func(s *garden) {
				s.after(`"PEER_XK" {`, "imports: [", imports)
				s.edit("exports: [", "exports: [\n{ service: \""+next+`", accounts: ["PEER_XK"] }`, 1)
			},
			[]want{{"partner xk", next, "no", "yes", "no"}},
		},
		"another partner's consumer": {
			func(s *garden) {
				s.after(`"PEER_XK" {`, "allow: [", `"$JS.API.CONSUMER.MSG.NEXT.OUT_t01-al-me-xk.*"`)
			},
			[]want{{"partner xk", "NEXT.OUT_t01-al-me-xk.me", "no", "yes", "yes"}},
		},
		"a missing permission": {
			func(s *garden) {
				at := bytes.Index(s.Text, []byte(`"PEER_ME" {`))
				head, tail := s.Text[:at], s.Text[at:]
				tail = bytes.Replace(tail, []byte(`"`+own+`" #`), []byte("#"), 1)
				s.Text = append(bytes.Clone(head), tail...)
			},
			[]want{
				{"partner me", own, "yes", "no", "no"},
				{"partner me", "read vehicle that al says on b01-al-me", "yes", "no", "no"},
			},
		},
		"a missing export": {
			func(s *garden) {
				s.edit(`{ service: "`+own+`", accounts: ["PEER_ME"]`, `{ service: "`+own+`", accounts: ["PEER_XK"]`, 1)
				s.edit(`{ service: { account: "AL", subject: "`+own+`" } }`, "", 1)
			},
			[]want{{"partner me", own, "yes", "no", "no"}},
		},
		"a keeper that purges": {
			func(s *garden) { s.after("# keeper", "allow: [", `"$JS.API.STREAM.PURGE.>"`) },
			[]want{{"keeper of al", "STREAM.PURGE.OUT_b01-al-me", "no", "yes", "yes"}},
		},
		"a partner that listens": {
			func(s *garden) {
				s.edit(`"_INBOX_xk.>"`, `"k1.>", "_INBOX_xk.>"`, 1)
			},
			[]want{{"partner xk", "listen to k1.>", "no", "yes", "yes"}},
		},
		"somebody unknown": {
			func(s *garden) {
				nkey := "UCFIRY65OQE7DFP5KLNS2PF2LVZMUZYJX4OZIEQ36N2IQANUB5XVZ45L"
				s.after(`"PEER_ME" {`, "users: [", `{ nkey: "`+nkey+`" }`)
			},
			[]want{{"-", "whose key is on no card", "no", "yes", "-"}},
		},
		"a second way in": {
			func(s *garden) { s.Text = append(bytes.Clone(s.Text), "\nhttp: \"127.0.0.1:-1\"\n"...) },
			[]want{{"-", "a second way in", "no", "yes", "-"}},
		},
		"a partner with JetStream": {
			func(s *garden) { s.after("accounts {", `"PEER_ME" {`, "jetstream: enabled") },
			[]want{{"-", "has JetStream of its own", "no", "yes", "-"}},
		},
		"an auditor of one channel who reads another": {
			func(s *garden) { s.open("AUDITOR_AUDIT", "$JS.API.DIRECT.GET.OUT_b01-al-me") },
			[]want{{"auditor audit", "DIRECT.GET.OUT_b01-al-me", "no", "yes", "yes"}},
		},
		"an auditor who reads the stubs of all channels": {
			func(s *garden) { s.open("AUDITOR_AUDIT", "$JS.API.DIRECT.GET.STUB") },
			[]want{{"auditor audit", "DIRECT.GET.STUB", "no", "yes", "yes"}},
		},
		"an auditor who reads the desk": {
			func(s *garden) { s.open("AUDITOR_AUDIT", "$JS.API.DIRECT.GET.DESK") },
			[]want{{"auditor audit", "DIRECT.GET.DESK", "no", "yes", "yes"}},
		},
		"an auditor who deletes": {
			func(s *garden) { s.open("AUDITOR_AUDIT", "$JS.API.STREAM.MSG.DELETE.OUT_t01-al-me-xk") },
			[]want{{"auditor audit", "STREAM.MSG.DELETE.OUT_t01-al-me-xk", "no", "yes", "yes"}},
		},
		"an auditor who may not read its own channel": {
			func(s *garden) {
				s.edit(`{ service: { account: "AL", subject: "$JS.API.DIRECT.GET.IN_t01-al-me-xk_me" } } # t01`,
					"# t01", 1)
			},
			[]want{{"auditor audit", "DIRECT.GET.IN_t01-al-me-xk_me", "yes", "no", "no"}},
		},
		"an auditor in the owner's account": {
			func(s *garden) {
				at := bytes.Index(s.Text, []byte(`"AUDITOR_AUDIT" {`))
				from := at + bytes.Index(s.Text[at:], []byte("users: [")) + len("users: [")
				to := from + bytes.Index(s.Text[from:], []byte("\n    ]"))
				user := string(s.Text[from:to])
				s.Text = append(bytes.Clone(s.Text[:from]), s.Text[to:]...)
				s.edit("users: [\n      # gateway", "users: ["+user+"\n      # gateway", 1)
			},
			[]want{{"auditor audit", "say card as al on b01-al-me", "no", "yes", "no"}}, // and what hides it all: more than is shown
		},
		"audit in the owner's account": {
			func(s *garden) {
				at := bytes.Index(s.Text, []byte(`"OWN_AUDIT" {`))
				from := at + bytes.Index(s.Text[at:], []byte("users: [")) + len("users: [")
				to := from + bytes.Index(s.Text[from:], []byte("\n    ]"))
				user := string(s.Text[from:to])
				s.Text = append(bytes.Clone(s.Text[:from]), s.Text[to:]...)
				s.edit("users: [\n      # gateway", "users: ["+user+"\n      # gateway", 1)
			},
			[]want{{"audit of al", "write into AL/DESK", "no", "-", "yes"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := three(t)
			c.plant(&garden{&s, t})
			r := judge(t, w.Now, s)
			for _, x := range c.want {
				if !x.in(r) {
					t.Errorf("not found: %v", x)
				}
			}
			if t.Failed() {
				for _, m := range r.Mismatches {
					t.Log(show(m))
				}
			}
		})
	}
}

// A configuration that was not compiled anew after an amendment.
func TestAnOldConfigurationIsFound(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me")
	one := w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	old := site(t, w, "al", w.Now)
	w.Agree(w.Amend(one, "say al,me vehicle personal=yes", "say me vehicle personal=yes"))
	fresh := site(t, w, "al", w.Now)
	clean(t, judge(t, w.Now, fresh))
	old.View = fresh.View
	r := judge(t, w.Now, old)
	if !(want{"partner me", "read vehicle that al says on b01-al-me", "no", "yes", "yes"}).in(r) {
		t.Errorf("not found among %d", r.Found)
	}
}

func TestATextThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	w, s := three(t)
	s.Text = []byte("accounts { broken: 1 }")
	if _, err := Run(t.Context(), []Site{s}, w.Now, t.TempDir()); !problem.Is(err, problem.Invalid) {
		t.Errorf("error %v", err)
	}
}
