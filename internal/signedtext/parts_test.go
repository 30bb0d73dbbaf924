package signedtext

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseVKey(t *testing.T) {
	t.Parallel()
	_, _, vkey := testKey(t, "al", 1)
	name, public, err := ParseVKey(vkey)
	if err != nil || name != "al" || len(public) != ed25519.PublicKeySize {
		t.Fatalf("%q, %x, %v", name, public, err)
	}
	parts := strings.Split(vkey, "+")
	weak, err := VKey("al", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]string{
		"empty":           "",
		"no plus":         "al",
		"upper-case hash": parts[0] + "+" + strings.ToUpper(parts[1]) + "+" + strings.Join(parts[2:], "+"),
		"wrong hash":      parts[0] + "+00000000+" + strings.Join(parts[2:], "+"),
		"another name":    "me" + vkey[2:],
		"newline":         vkey + "\n",
		"trailing":        vkey + "A",
		"small order":     weak,
	} {
		if _, _, err := ParseVKey(bad); err == nil {
			t.Errorf("%s: %q was accepted", what, bad)
		}
	}
	if _, err := VKey("Al", public); err == nil {
		t.Error("an upper-case name was accepted")
	}
	if _, err := VKey("al/Notice", public); err == nil {
		t.Error("an upper-case use was accepted")
	}
	if v, err := VKey(NoticeName("al"), public); err != nil || !strings.HasPrefix(v, "al/notice+") {
		t.Errorf("notice key: %q, %v", v, err)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	_, _, vkey := testKey(t, "al", 1)
	got, err := Fingerprint(vkey)
	if err != nil {
		t.Fatal(err)
	}
	// printf %s KEY | base64 -d | tail -c 32 | sha256sum, computed once.
	if want := "3475 0F98 BD59 FCFC 946D A45A AABE 933B"; got != want {
		t.Errorf("fingerprint %q, want %q", got, want)
	}
	if _, err := Fingerprint("al+1+2"); err == nil {
		t.Error("a fingerprint of nothing")
	}
}

// A key of small order accepts the signature (identity, 0) for one message in
// eight or more; no other key does for any. So the list can be checked without
// trusting where it comes from.
func TestWeakKeysAreWeak(t *testing.T) {
	t.Parallel()
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1
	forgeable := func(public []byte) bool {
		for i := range 200 {
			if ed25519.Verify(public, []byte{byte(i)}, forged) {
				return true
			}
		}
		return false
	}
	tried := 0
	for _, text := range small {
		for _, sign := range []byte{0, 0x80} {
			raw, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			raw[31] |= sign
			if !WeakKey(raw) {
				t.Errorf("%x is not called weak", raw)
			}
			if forgeable(raw) {
				tried++
			}
		}
	}
	if tried < 8 {
		t.Errorf("only %d of the listed keys are forgeable, want the 8 points at least", tried)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if WeakKey(public) || forgeable(public) {
		t.Error("an honest key is called weak")
	}
	if !WeakKey(public[:31]) {
		t.Error("31 bytes are called a key")
	}
}

func TestLinesAndFields(t *testing.T) {
	t.Parallel()
	lines, articles := Lines([]byte("head\n\nparty al \"A – B\" root=al+1+Az=\n---\nArticle 1\n---\nmore\n"))
	if articles != "Article 1\n---\nmore" || len(lines) != 3 || lines[2].No != 3 || lines[2].Key != "party" {
		t.Fatalf("lines %+v, articles %q", lines, articles)
	}
	tests := []struct {
		rest  string
		want  []Field
		fault string
	}{
		{rest: "al", want: []Field{{Value: "al", Col: 3}}},
		{rest: "", want: nil},
		{
			rest: `al "A – B" root=al+1+Az= x="" handling<=H2 AzAz=`,
			want: []Field{
				{Value: "al", Col: 3},
				{Value: "A – B", Quoted: true, Col: 6},
				{Key: "root", Op: "=", Value: "al+1+Az=", Col: 16},
				{Key: "x", Op: "=", Quoted: true, Col: 30},
				{Key: "handling", Op: "<=", Value: "H2", Col: 35},
				{Value: "AzAz=", Col: 48},
			},
		},
		{rest: "a  b", fault: "a field is empty (at byte 5)"},
		{rest: "a ", fault: "exactly one space"},
		{rest: " a", fault: "a field is empty (at byte 3)"},
		{rest: `"a`, fault: "a quote is not closed"},
		{rest: `a"b"`, fault: "a quote must open the value"},
		{rest: `"a"b`, fault: "exactly one space"},
		{rest: "x=", fault: "a field is empty"},
	}
	for _, tt := range tests {
		got, fault := Line{No: 1, Key: "k", Rest: tt.rest}.Fields()
		if tt.fault != "" {
			if fault == nil || !strings.Contains(fault.Text, tt.fault) {
				t.Errorf("%q: fault %+v, want %q", tt.rest, fault, tt.fault)
			}
			continue
		}
		if fault != nil {
			t.Errorf("%q: %s", tt.rest, fault.Text)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.rest, diff)
		}
	}
}

func TestReadForm(t *testing.T) {
	t.Parallel()
	word := func(l Line) string {
		if l.Rest == "bad" {
			return "not good"
		}
		return ""
	}
	rules := []Rule{{"a", 1, 1, word}, {"b", 0, 2, word}, {"c", 1, 1, word}}
	tests := []struct {
		text string
		want []string
	}{
		{"head\na 1\nc 1\n", nil},
		{"head\na 1\nb 1\nb 2\nc 1\n", nil},
		{"HEAD\na 1\n", []string{`the first line is not "head"`}},
		{"head\nc 1\na 1\n", []string{`"a" must stand above "c"`}},
		{"head\na 1\nb 1\nb 2\nb 3\nc bad\n", []string{`more than 2 "b" lines`, "c: not good"}},
		{"head\nx 1\n\na 1\n", []string{`unknown line "x"`, `unknown line ""`, `"c" is missing`}},
		{"head\na 1\nc 1\n---\nfree\n", []string{"nothing may stand below the lines of the form"}},
	}
	for _, tt := range tests {
		var got []string
		for _, f := range ReadForm([]byte(tt.text), "head", rules) {
			got = append(got, f.Text)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.text, diff)
		}
	}
}

func TestOneSpellingOnly(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "00", "01", "+1", "-1", "1 ", "0x1", "1_0", "18446744073709551616"} {
		if n, ok := Uint(s); ok {
			t.Errorf("number %q read as %d", s, n)
		}
	}
	if n, ok := Uint("18446744073709551615"); !ok || n != 1<<64-1 {
		t.Error("the largest number is refused")
	}
	for _, s := range []string{
		"", "2026-05-01", "2026-05-01T00:00:00+00:00", "2026-05-01T00:00:00.0Z", "2026-05-01T24:00:00Z",
		"2026-02-29T00:00:00Z", "1999-12-31T23:59:59Z", "2026-05-01t00:00:00z", "2026-05-01T00:00:60Z",
	} {
		if m, ok := Time(s); ok {
			t.Errorf("time %q read as %v", s, m)
		}
	}
	at := time.Date(2026, 5, 1, 10, 20, 30, 999, time.FixedZone("", 7200))
	if m, ok := Time(FormatTime(at)); !ok || !m.Equal(at.Truncate(time.Second)) {
		t.Errorf("time round trip: %v", m)
	}
	for _, s := range []string{"", `"`, `a`, `"a`, `"a"b"`, `"abcdef"`} {
		if q, ok := Quote(s, 5); ok {
			t.Errorf("quote %q read as %q", s, q)
		}
	}
	d := Digest([]byte("a\n"))
	if got, ok := ParseDigest(FormatDigest(d)); !ok || got != d {
		t.Error("digest round trip")
	}
	for _, s := range []string{
		"", "sha256:", FormatDigest(d)[1:], strings.ToUpper(FormatDigest(d)), FormatDigest(d) + "0", FormatDigest([32]byte{}),
	} {
		if _, ok := ParseDigest(s); ok {
			t.Errorf("digest %q was read", s)
		}
	}
}

func TestKeyDigestIsOfTheCharacters(t *testing.T) {
	t.Parallel()
	// printf %s abc | sha256sum
	const want = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := FormatDigest(KeyDigest("abc")); got != want {
		t.Errorf("got %s", got)
	}
}
