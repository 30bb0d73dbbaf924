package agreement

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/problem"
)

// mustSign adds the signature lines of these parties.
func mustSign(t testing.TB, file []byte, codes ...string) []byte {
	t.Helper()
	for _, code := range codes {
		var err error
		if file, err = Sign(file, key(t, code)); err != nil {
			t.Fatalf("Sign by %s: %v", code, err)
		}
	}
	return file
}

func TestSignAndOpen(t *testing.T) {
	t.Parallel()
	text := sample(t)
	for _, c := range []struct {
		signers, by, missing []string
		complete             bool
	}{
		{nil, nil, []string{"al", "me"}, false},
		{[]string{"me"}, []string{"me"}, []string{"al"}, false},
		{[]string{"dpa"}, []string{"dpa"}, []string{"al", "me"}, false},
		{[]string{"dpa", "me", "al"}, []string{"al", "me", "dpa"}, nil, true},
		{[]string{"al", "me", "al"}, []string{"al", "me"}, nil, true},
	} {
		s, err := Open(mustSign(t, text, c.signers...))
		if err != nil {
			t.Fatalf("Open after %v: %v", c.signers, err)
		}
		if d := cmp.Diff(c.by, s.SignedBy); d != "" {
			t.Errorf("signed by %v (-want +got):\n%s", c.signers, d)
		}
		if d := cmp.Diff(c.missing, s.Missing()); d != "" {
			t.Errorf("missing after %v (-want +got):\n%s", c.signers, d)
		}
		if s.Complete() != c.complete || !bytes.Equal(s.Agreement.Text, text) {
			t.Errorf("after %v: complete %v, text kept %v", c.signers, s.Complete(), bytes.Equal(s.Agreement.Text, text))
		}
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	wrongRoot := sample(t, "root="+key(t, "al").vkey, "root="+otherKey(t, "al").vkey)
	for _, c := range []struct {
		name string
		file []byte
		by   testKey
		kind problem.Kind
	}{
		{"a text with errors", sample(t, "version 1", "version 0"), key(t, "al"), problem.Invalid},
		{"a stranger", sample(t), key(t, "rs"), problem.Invalid},
		{"another root than the text names", wrongRoot, key(t, "al"), problem.Verification},
	} {
		got, err := Sign(c.file, c.by)
		if got != nil || !problem.Is(err, c.kind) {
			t.Errorf("%s: %v, want kind %v", c.name, err, c.kind)
		}
		if problem.HintOf(err) == "" && c.name != "a text with errors" {
			t.Errorf("%s: no hint: %v", c.name, err)
		}
	}
}

// otherKey is a second key of the same name.
func otherKey(t testing.TB, code string) testKey {
	t.Helper()
	k := key(t, code+"2")
	s := k.Signer.(testSigner)
	vkey, err := vkeyOf(code, s)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{testSigner{code, s.private, vkey}, vkey}
}

func TestOpenRefusesBadSignatures(t *testing.T) {
	t.Parallel()
	file := mustSign(t, sample(t), "al", "me")
	for name, change := range map[string]func(string) string{
		"text changed":      func(s string) string { return strings.Replace(s, "handling<=H2", "handling<=H3", 1) },
		"free text changed": func(s string) string { return strings.Replace(s, "Nobody ever", "Everybody", 1) },
		"signature changed": func(s string) string {
			line := s[strings.LastIndex(s, "— "):]
			body := []byte(line)
			if i := len(body) - 10; body[i] == 'A' {
				body[i] = 'B'
			} else {
				body[i] = 'A'
			}
			return strings.TrimSuffix(s, line) + string(body)
		},
	} {
		if s, err := Open([]byte(change(string(file)))); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: got %+v, %v; want a verification error", name, s, err)
		}
	}
}

// TestStrangersDontCount: a line by a key that the text does not name is left out.
func TestStrangersDontCount(t *testing.T) {
	t.Parallel()
	signed := mustSign(t, sample(t), "al")
	stranger, err := SignFormer(signed, otherKey(t, "rs"), Party{Code: "rs", Root: otherKey(t, "rs").vkey})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"al"}, s.SignedBy); d != "" || !bytes.Equal(s.File, signed) {
		t.Errorf("a stranger's line counts or stays: %v", s.SignedBy)
	}
	s, err = Open(stranger, Party{Code: "rs", Root: otherKey(t, "rs").vkey})
	if err != nil || !cmp.Equal(s.SignedBy, []string{"al", "rs"}) {
		t.Errorf("a former party's consent: %v, %v", s, err)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	a := mustLint(t, sample(t))
	one, two := mustSign(t, a.Text, "al"), mustSign(t, a.Text, "me", "al")
	merged, err := Merge(a, nil, one, two, a.Text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(merged)
	if err != nil || !s.Complete() || strings.Count(string(merged), "\n— ") != 2 {
		t.Errorf("merged: %v\n%s", err, merged)
	}
	other := mustSign(t, sample(t, "quota 1GiB", "quota 2GiB"), "me")
	if _, err := Merge(a, nil, one, other); !problem.Is(err, problem.Conflict) {
		t.Errorf("signatures of two texts united: %v", err)
	}
}
