package signedtext

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"karaula/internal/problem"
)

var testHuman = Human{"name": Quoted, "title": Rest}

func TestCheckText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", MaxLine)
	tests := []struct {
		name, text string
		want       []string // "line code"
	}{
		{"plain", "a\nb\n", nil},
		{"blank line inside", "a\n\nb\n", nil},
		{"longest line", long + "\n", nil},
		{"letters below the fence", "a\n---\nČlan 5 — Ђорђевић, ë\n", nil},
		{"letters in a title", "title Marrëveshje\n", nil},
		{"letters in a quoted name", `name "Policia e Shtetit – Đorđe" x` + "\n", nil},
		{"empty", "", []string{"0 empty"}},
		{"only a newline", "\n", []string{"1 blank-start"}},
		{"no newline", "a\nb", []string{"2 no-newline"}},
		{"two newlines", "a\n\n", []string{"2 blank-end"}},
		{"long line", long + "a\n", []string{"1 long-line"}},
		{"trailing space", "a \nb\n", []string{"1 trailing-space"}},
		{"carriage return", "a\r\nb\n", []string{"1 carriage-return"}},
		{"tab", "a\tb\n", []string{"1 control"}},
		{"delete", "a\x7f\n", []string{"1 control"}},
		{"C1 control", "---\na\u0085b\n", []string{"2 control"}},
		{"byte order mark", "\uFEFFa\n", []string{"1 bom"}},
		{"not UTF-8", "a\n\xff\xfe\n", []string{"2 not-utf8"}},
		{"surrogate half in UTF-8", "a\xed\xa0\x80\n", []string{"1 not-utf8"}},
		{"decomposed letter", "---\nc\u030C\n", []string{"2 not-nfc"}},
		{"right-to-left override", "---\na\u202Eb\n", []string{"2 bidi"}},
		{"isolate", "---\na\u2066b\n", []string{"2 bidi"}},
		{"zero width space", "---\na\u200Bb\n", []string{"2 invisible"}},
		{"zero width joiner", "---\na\u200Db\n", []string{"2 invisible"}},
		{"soft hyphen", "---\na\u00ADb\n", []string{"2 invisible"}},
		{"combining grapheme joiner", "---\na\u034Fb\n", []string{"2 invisible"}},
		{"Hangul filler", "---\na\u3164b\n", []string{"2 invisible"}},
		{"variation selector", "---\na\uFE0Fb\n", []string{"2 invisible"}},
		{"tag character", "---\na\U000E0041b\n", []string{"2 invisible"}},
		{"braille blank", "---\na\u2800b\n", []string{"2 invisible"}},
		{"no-break space", "---\na\u00A0b\n", []string{"2 odd-space"}},
		{"line separator", "---\na\u2028b\n", []string{"2 odd-space"}},
		{"replacement character", "---\na\uFFFDb\n", []string{"2 damaged"}},
		{"private use", "---\na\uE000b\n", []string{"2 unassigned"}},
		{"unassigned", "---\na\u0378b\n", []string{"2 unassigned"}},
		{"noncharacter", "---\na\uFFFFb\n", []string{"2 unassigned"}},
		{"letter in a machine line", "party аl\n", []string{"1 not-ascii"}}, // Cyrillic а
		{"letter in the key", "naмe \"x\"\n", []string{"1 not-ascii"}},
		{"letter beside the quotes", "name \"x\" ë\n", []string{"1 not-ascii"}},
		{"signature-like line", "a\n---\n— first\n", []string{"3 signature-like"}},
		{"several", "a \n\tb\nc", []string{"1 trailing-space", "2 control", "3 no-newline"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, f := range CheckText([]byte(tt.text), testHuman) {
				got = append(got, fmt.Sprintf("%d %s", f.Line, f.Code))
				if f.Text == "" || strings.ContainsAny(f.Text, "\n\r\u202e") {
					t.Errorf("text of the finding: %q", f.Text)
				}
			}
			if tt.name == "no newline" || tt.name == "several" {
				got = sortedByLine(got)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// sortedByLine moves the finding about the last line, found first, to its place.
func sortedByLine(s []string) []string {
	if len(s) > 1 {
		return append(s[1:], s[0])
	}
	return s
}

// The specification names the Unicode version; another one in a newer Go must
// be a decision, because texts that one party signs another must accept.
func TestUnicodeVersionIsTheSpecifiedOne(t *testing.T) {
	t.Parallel()
	if unicode.Version != "15.0.0" || norm.Version != unicode.Version {
		t.Errorf("Unicode %s, normalisation %s: docs/spec/card.md says 15.0.0", unicode.Version, norm.Version)
	}
}

func TestEveryRuneIsJudged(t *testing.T) {
	t.Parallel()
	visible := 0
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		code, _ := refused(r)
		if code != "" {
			continue
		}
		visible++
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			t.Fatalf("U+%04X is accepted and not visible", r)
		}
	}
	for _, r := range "čćžšđČĆŽŠĐëËçÇљњђћџѓќѕјІß€§„“”–—…·«»№°²½" {
		if code, _ := refused(r); code != "" {
			t.Errorf("%q is refused as %s", r, code)
		}
	}
	if visible < 140_000 {
		t.Errorf("only %d characters are accepted", visible)
	}
}

func TestFindingsAreBounded(t *testing.T) {
	t.Parallel()
	if n := len(CheckText([]byte(strings.Repeat("\t\n", 5000)), nil)); n != maxFindings {
		t.Errorf("%d findings, want %d", n, maxFindings)
	}
	if got := CheckText(make([]byte, MaxText+1), nil); len(got) != 1 || got[0].Code != "too-large" {
		t.Errorf("too large: %v", got)
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	if err := Problem(problem.Invalid, "card", nil); err != nil {
		t.Errorf("no findings gave %v", err)
	}
	err := Problem(problem.Invalid, "card", []Finding{
		{Line: 2, Text: "first"}, {Text: "second", Hint: "do this"}, {Line: 9, Text: "third", Hint: "or that"},
	})
	if got, want := err.Error(), "card: line 2: first; second; line 9: third"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !problem.Is(err, problem.Invalid) || problem.HintOf(err) != "do this" {
		t.Errorf("kind %v, hint %q", problem.KindOf(err), problem.HintOf(err))
	}
}

func FuzzCheckText(f *testing.F) {
	f.Add([]byte("name \"Đorđe\"\ntitle Marrëveshje\n---\n\nČlan 1\n"))
	f.Add([]byte("a\r\n\u202e\n\uFEFF"))
	f.Add([]byte{0xff, '\n'})
	f.Fuzz(func(t *testing.T, text []byte) {
		findings := CheckText(text, testHuman)
		if len(findings) > maxFindings+2 {
			t.Fatalf("%d findings", len(findings))
		}
		if len(findings) > 0 {
			return
		}
		if !utf8.Valid(text) || !norm.NFC.IsNormal(text) || text[len(text)-1] != '\n' {
			t.Fatal("accepted a text that is not UTF-8 in NFC with a newline")
		}
		got, block, err := Split(text)
		if err != nil || len(block) != 0 || string(got) != string(text) {
			t.Fatalf("an accepted text does not split into itself: %v", err)
		}
	})
}

// A line of a megabyte must cost no more than its length (found by fuzzing: the
// quotes of a line were once counted anew for each letter).
func BenchmarkCheckLongLine(b *testing.B) {
	text := []byte(`name "` + strings.Repeat("ë", MaxText/2-8) + "\"\n")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		CheckText(text, testHuman)
	}
}
