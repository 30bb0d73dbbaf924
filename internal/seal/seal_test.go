package seal_test

import (
	"bytes"
	"crypto/sha256"
	"math"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"karaula/internal/problem"
	"karaula/internal/seal"
)

func identities(t testing.TB, n int) ([]*age.HybridIdentity, []*age.HybridRecipient) {
	t.Helper()
	var ids []*age.HybridIdentity
	var rs []*age.HybridRecipient
	for range n {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			t.Fatal(err)
		}
		ids, rs = append(ids, id), append(rs, id.Recipient())
	}
	return ids, rs
}

func frame(t testing.TB, inner string) []byte {
	t.Helper()
	f, err := seal.Frame([]byte(inner), [32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestEachOpensItsOwn: every reader opens with the stanza at its own place in
// the list, with no other, and gets exactly the frame.
func TestEachOpensItsOwn(t *testing.T) {
	t.Parallel()
	ids, rs := identities(t, 3)
	want := frame(t, "invented")
	sealed, err := seal.Seal(want, rs)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		for stanza := range ids {
			got, err := seal.Open(sealed, id, stanza, len(ids))
			if stanza == i && (err != nil || !bytes.Equal(got, want)) {
				t.Errorf("reader %d does not open its own stanza: %v", i, err)
			}
			if stanza != i && !problem.Is(err, problem.Verification) {
				t.Errorf("reader %d with stanza %d: got %v, want it refused", i, stanza, err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	ids, rs := identities(t, 2)
	f := frame(t, "invented")
	sealed, err := seal.Seal(f, rs)
	if err != nil {
		t.Fatal(err)
	}
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	w, err := age.Encrypt(&plain, classic.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte {
		b := bytes.Clone(sealed)
		b[i] ^= 1
		return b
	}
	stanzaBegin := bytes.Index(sealed, []byte("-> "))
	for _, tc := range []struct {
		name      string
		sealed    []byte
		stanza, n int
	}{
		{"nothing", nil, 0, 2},
		{"not age", []byte("karaula"), 0, 2},
		{"fewer stanzas than recipients", sealed, 0, 3},
		{"more stanzas than recipients", sealed, 0, 1},
		{"stanza beyond the end", sealed, 2, 2},
		{"negative stanza", sealed, -1, 2},
		{"no recipients", sealed, 0, 0},
		{"classic recipient", plain.Bytes(), 0, 1},
		{"changed stanza", flip(stanzaBegin + 40), 0, 2},
		{"changed content", flip(len(sealed) - 1), 0, 2},
		{"cut", sealed[:len(sealed)-1], 0, 2},
		{"something behind it", append(bytes.Clone(sealed), 0), 0, 2},
		{"too long", append(bytes.Clone(sealed), make([]byte, seal.MaxPart)...), 0, 2},
	} {
		if _, err := seal.Open(tc.sealed, ids[0], tc.stanza, tc.n); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: got %v, want it refused", tc.name, err)
		}
	}
	if _, err := seal.Open(sealed, nil, 0, 2); !problem.Is(err, problem.Locked) {
		t.Errorf("without a key: got %v, want it locked", err)
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	_, rs := identities(t, 1)
	many := make([]*age.HybridRecipient, seal.MaxRecipients+1)
	for i := range many {
		many[i] = rs[0]
	}
	largest := make([]byte, seal.MaxFrame-36)
	big, err := seal.Frame(largest, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() ([]byte, error){
		"no readers":       func() ([]byte, error) { return seal.Seal(frame(t, "x"), nil) },
		"too many readers": func() ([]byte, error) { return seal.Seal(frame(t, "x"), many) },
		"not a frame":      func() ([]byte, error) { return seal.Seal([]byte("x"), rs) },
		"too long":         func() ([]byte, error) { return seal.Seal(big, rs) },
	} {
		if out, err := try(); err == nil || out != nil {
			t.Errorf("%s: sealed", name)
		}
	}
	if _, err := seal.Frame(slices.Concat(largest, []byte{0}), [32]byte{}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a frame above the limit: got %v", err)
	}
}

// TestFrame: any content comes back, from a frame whose length says little.
func TestFrame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 70_000).Draw(t, "length")
		inner := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
		salt := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "salt"))
		f, err := seal.Frame(inner, salt)
		if err != nil {
			t.Fatal(err)
		}
		got, err := seal.Unframe(f)
		if err != nil || !bytes.Equal(got, inner) {
			t.Fatalf("does not come back: %v", err)
		}
		if len(f) < seal.MinFrame || float64(len(f)) > math.Max(seal.MinFrame, 1.12*float64(n+36)) {
			t.Fatalf("%d bytes make a frame of %d", n, len(f))
		}
		if !bytes.Equal(f[:32], salt[:]) || seal.Commitment(f) != sha256.Sum256(f) {
			t.Fatal("salt or commitment is not what it should be")
		}
	})
}

func TestUnframeRefuses(t *testing.T) {
	t.Parallel()
	good := frame(t, strings.Repeat("x", 600)) // 636 bytes, padded to 640
	with := func(i int, b byte) []byte {
		f := bytes.Clone(good)
		f[i] = b
		return f
	}
	for name, f := range map[string][]byte{
		"nothing":                    nil,
		"shorter than any":           good[:511],
		"longer than any":            make([]byte, seal.MaxFrame+1),
		"padding not zero":           with(639, 1),
		"first padding not zero":     with(636, 1),
		"padding too long":           append(bytes.Clone(good), make([]byte, 32)...),
		"padding too short":          good[:636],
		"content beyond the end":     with(34, 0xff),
		"length above 31 bits":       with(32, 0x80),
		"length of shorter content":  with(34, 0),
		"minimum frame one too long": append(frame(t, "x"), 0),
	} {
		if _, err := seal.Unframe(f); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

// TestPadme: values worked out by hand from the paper's algorithm 1, among them
// its own example (9 bytes stay within 12 %).
func TestPadme(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{
		0: 0, 1: 1, 2: 2, 3: 3, 8: 8, 9: 10, 15: 16, 16: 16, 17: 18, 100: 104, 511: 512, 512: 512, 513: 544,
		636: 640, 1000: 1024, 1025: 1088, 65535: 65536, 65536: 65536, 65537: 67584, 1 << 20: 1 << 20, 1<<20 + 1: 1081344,
	} {
		if got := seal.Padme(n); got != want {
			t.Errorf("Padme(%d) is %d, want %d", n, got, want)
		}
	}
	for n := range 5000 {
		if p := seal.Padme(n); p < n || seal.Padme(p) != p {
			t.Fatalf("Padme(%d) = %d is shorter, or not a padded length itself", n, p)
		}
	}
}

// FuzzUnframe: what is a frame is the one frame of its content and salt.
func FuzzUnframe(f *testing.F) {
	f.Add(frame(f, ""))
	f.Add(frame(f, strings.Repeat("x", 600)))
	f.Add(make([]byte, 512))
	f.Fuzz(func(t *testing.T, raw []byte) {
		inner, err := seal.Unframe(raw)
		if err != nil {
			return
		}
		again, err := seal.Frame(inner, [32]byte(raw))
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("another frame around the same content: %v", err)
		}
	})
}

// FuzzOpen: bytes from outside never open to more than the limit, and never
// without the right key at the right place.
func FuzzOpen(f *testing.F) {
	ids, rs := identities(f, 2)
	sealed, err := seal.Seal(frame(f, "invented"), rs)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, 0, 2)
	f.Add(sealed, 1, 2)
	f.Add([]byte("age-encryption.org/v1\n-> X25519 x\ny\n--- z\n"), 0, 1)
	f.Fuzz(func(t *testing.T, raw []byte, stanza, n int) {
		opened, err := seal.Open(raw, ids[0], stanza, n)
		if err == nil && (stanza != 0 || n != 2 || len(opened) > seal.MaxFrame) {
			t.Fatalf("opened stanza %d of %d to %d bytes", stanza, n, len(opened))
		}
	})
}

func BenchmarkSealTwo(b *testing.B) {
	_, rs := identities(b, 2)
	f := frame(b, strings.Repeat("x", 900))
	for b.Loop() {
		if _, err := seal.Seal(f, rs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenOneOfTwo(b *testing.B) {
	ids, rs := identities(b, 2)
	sealed, err := seal.Seal(frame(b, strings.Repeat("x", 900)), rs)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := seal.Open(sealed, ids[1], 1, 2); err != nil {
			b.Fatal(err)
		}
	}
}
