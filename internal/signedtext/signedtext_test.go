package signedtext

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
)

// testKey makes a note key pair from a seed byte: always the same one.
func testKey(t testing.TB, name string, seed byte) (note.Signer, note.Verifier, string) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	vkey, err := VKey(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	private := fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, strings.Split(vkey, "+")[1],
		base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := Verifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier, vkey
}

func TestSplit(t *testing.T) {
	t.Parallel()
	const sig = "— al AAAAAAE=\n"
	manySigs := "a\n\n" + strings.Repeat(sig, MaxSignatures+1)
	tests := []struct {
		name, file, text, block, fault string
	}{
		{name: "unsigned", file: "a\nb\n", text: "a\nb\n"},
		{name: "unsigned with blank lines", file: "a\n\nb\n", text: "a\n\nb\n"},
		{name: "signed", file: "a\n\n" + sig, text: "a\n", block: sig},
		{name: "blank lines in the text", file: "a\n\nb\n\n" + sig + sig, text: "a\n\nb\n", block: sig + sig},
		{name: "blank line at the end of the text stays", file: "a\n\n\n" + sig, text: "a\n\n", block: sig},
		{name: "empty", fault: "does not end with a newline"},
		{name: "no newline", file: "a", fault: "does not end with a newline"},
		{name: "signature without blank line", file: "a\n" + sig, fault: "line 2: signature lines must follow a blank line"},
		{name: "signature on top", file: sig, fault: "line 1: signature lines must follow"},
		{name: "no text", file: "\n" + sig, fault: "line 2: signature lines must follow"},
		{name: "text below signatures", file: "a\n\n" + sig + "b\n", fault: "line 4: malformed signature line"},
		{name: "second block", file: "a\n\n" + sig + "\n" + sig, fault: "line 4: malformed"},
		{name: "no base64", file: "a\n\n— al !\n", fault: "line 3: malformed"},
		{name: "loose base64", file: "a\n\n— al AAAAAAF=\n", fault: "line 3: malformed"},
		{name: "too short", file: "a\n\n— al AAAAAA==\n", fault: "line 3: malformed"},
		{name: "foreign name", file: "a\n\n— Al AAAAAAE=\n", fault: "line 3: malformed"},
		{name: "too many", file: manySigs, fault: "line 103: more than 100 signature lines"},
		{name: "too large", file: strings.Repeat("a", maxFile) + "\n", fault: "above the limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text, block, err := Split([]byte(tt.file))
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) || !problem.Is(err, problem.Invalid) {
					t.Fatalf("error %v, want one with %q", err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.text, tt.block}, []string{string(text), string(block)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSignaturesCountDistinctNames(t *testing.T) {
	t.Parallel()
	al, alV, _ := testKey(t, "al", 1)
	me, meV, _ := testKey(t, "me", 2)
	al2, al2V, _ := testKey(t, "al", 3)
	stranger, _, _ := testKey(t, "xk", 4)
	sign := func(file []byte, signers ...note.Signer) []byte {
		for _, s := range signers {
			var err error
			if file, err = AddSignature(file, s); err != nil {
				t.Fatal(err)
			}
		}
		return file
	}
	text := []byte("agreed\n")
	both := sign(text, al, me)
	twice := append(bytes.Clone(both), both[len(text)+1:]...)
	tests := []struct {
		name string
		file []byte
		want []string
	}{
		{"unsigned", text, nil},
		{"both", both, []string{"al", "me"}},
		{"order of lines", sign(text, me, al), []string{"me", "al"}},
		{"repeated lines count once", twice, []string{"al", "me"}},
		{"two keys of one name count once", sign(text, al, al2), []string{"al"}},
		{"stranger proves nothing", sign(text, stranger, al), []string{"al"}},
		{"only stranger", sign(text, stranger), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Signatures(tt.file, alV, meV, al2V)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSignaturesRefuseBadOnes(t *testing.T) {
	t.Parallel()
	al, alV, _ := testKey(t, "al", 1)
	good, err := AddSignature([]byte("agreed\n"), al)
	if err != nil {
		t.Fatal(err)
	}
	other, err := AddSignature([]byte("otherwise\n"), al)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(good, []byte("agreed"), []byte("Agreed"), 1)
	goodThenBad := append(bytes.Clone(good), other[len("otherwise\n\n"):]...)
	for name, file := range map[string][]byte{"changed text": changed, "a bad line beside a good one": goodThenBad} {
		if names, err := Signatures(file, alV); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: names %v, error %v, want kind verification", name, names, err)
		}
	}
	if names, err := Signatures(changed); err != nil || names != nil {
		t.Errorf("without verifiers: %v, %v", names, err)
	}
}

func TestAddSignature(t *testing.T) {
	t.Parallel()
	al, alV, _ := testKey(t, "al", 1)
	me, meV, _ := testKey(t, "me", 2)
	text := []byte("agreed\n\n---\n\nArticle 1\n")
	once, err := AddSignature(text, al)
	if err != nil {
		t.Fatal(err)
	}
	again, err := AddSignature(once, al)
	if err != nil || !bytes.Equal(once, again) {
		t.Errorf("signing twice changed the file (%v)", err)
	}
	both, err := AddSignature(once, me)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(both, once) {
		t.Error("a second signer changed what stood there")
	}
	// A stale line of the same key is replaced where it stands.
	stale := bytes.Replace(both, []byte("agreed"), []byte("Agreed"), 1)
	renewed, err := AddSignature(stale, al)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := Signatures(renewed, alV); err != nil || cmp.Diff([]string{"al"}, names) != "" {
		t.Errorf("renewed: %v, %v", names, err)
	}
	if bytes.Count(renewed, []byte("— al ")) != 1 {
		t.Errorf("the stale line is still there:\n%s", renewed)
	}
	// golang.org/x/mod's own reader agrees.
	n, err := note.Open(both, note.VerifierList(alV, meV))
	if err != nil || n.Text != string(text) || len(n.Sigs) != 2 {
		t.Errorf("note.Open: %v, %v", n, err)
	}
	full := append(bytes.Clone(text), '\n')
	for i := range MaxSignatures {
		full = append(full, fmt.Sprintf("— al AAAA%02dE=\n", i)...)
	}
	if _, err := AddSignature(full, me); !problem.Is(err, problem.Invalid) {
		t.Errorf("signature line 101: %v", err)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	al, alV, _ := testKey(t, "al", 1)
	me, meV, _ := testKey(t, "me", 2)
	xk, _, _ := testKey(t, "xk", 4)
	text := []byte("agreed\n")
	var files [][]byte
	for _, s := range []note.Signer{me, xk, al, me} {
		f, err := AddSignature(text, s)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	merged, err := Merge([]note.Verifier{alV, meV}, files...)
	if err != nil {
		t.Fatal(err)
	}
	want, err := AddSignature(files[2], me)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(merged)); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if _, err := Merge([]note.Verifier{alV}, files[0], []byte("other\n")); !problem.Is(err, problem.Conflict) {
		t.Errorf("different texts: %v", err)
	}
	unsigned, err := Merge(nil, text, text)
	if err != nil || !bytes.Equal(unsigned, text) {
		t.Errorf("unsigned: %q, %v", unsigned, err)
	}
}

func FuzzSplit(f *testing.F) {
	al, alV, _ := testKey(f, "al", 1)
	signed, err := AddSignature([]byte("agreed\n\n---\nArticle\n"), al)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte("a\n\nb\n"))
	f.Add([]byte("a\n\n— al AAAAAAE=\n"))
	f.Add([]byte("a\n\n\n— al AAAAAAE=\n— al AAAAAAE=\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		text, block, err := Split(file)
		if err != nil {
			return
		}
		whole := bytes.Clone(text)
		if len(block) > 0 {
			whole = append(append(whole, '\n'), block...)
		}
		if !bytes.Equal(whole, file) {
			t.Fatalf("text and block are not the file")
		}
		names, err := Signatures(file, alV)
		n, noteErr := note.Open(file, note.VerifierList(alV))
		if err == nil && len(names) > 0 {
			if noteErr != nil && len(CheckText(text, nil)) == 0 {
				t.Fatalf("accepted here, refused by note.Open: %v", noteErr)
			}
			if noteErr == nil && n.Text != string(text) {
				t.Fatal("note.Open sees another text")
			}
		}
		again, err := AddSignature(file, al)
		if err != nil {
			return // 100 lines already
		}
		if after, _, err := Split(again); err != nil || !bytes.Equal(after, text) {
			t.Fatalf("signing changed the text: %v", err)
		}
	})
}
