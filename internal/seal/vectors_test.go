package seal_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"karaula/docs/spec/vectors"
	"karaula/internal/seal"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var (
	update       = flag.Bool("update", false, "write the repeatable test vectors again")
	updateSealed = flag.Bool("update-sealed", false, "write the sealed test vectors again, with new keys")
)

// TestVectors reads every vector of frames and sealed parts.
func TestVectors(t *testing.T) {
	t.Parallel()
	if *update || *updateSealed {
		writeFrames(t)
		if *updateSealed {
			writeSealed(t)
		}
		t.Skip("vectors written; run again without the flag")
	}
	all, err := vectors.Read("seal")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, v := range all {
		seen[v.Get("expect")]++
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			if got := judge(t, v); got != v.Get("expect") {
				t.Errorf("the answer is %s, want %s (%s)", got, v.Get("expect"), v.Get("comment"))
			}
		})
	}
	for _, want := range []string{"ok", "cannot-open", "wrong-commitment"} {
		if seen[want] == 0 {
			t.Errorf("no vector expects %s", want)
		}
	}
}

// judge does what the border check does with a sealed part.
func judge(t *testing.T, v *vectors.Vector) string {
	t.Helper()
	frame := v.Body
	if v.Get("identity") != "" {
		id, err := age.ParseHybridIdentity(v.Get("identity"))
		if err != nil {
			t.Fatal(err)
		}
		stanza, err1 := strconv.Atoi(v.Get("stanza"))
		n, err2 := strconv.Atoi(v.Get("stanzas"))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if frame, err = seal.Open(v.Body, id, stanza, n); err != nil {
			return "cannot-open"
		}
	}
	if c := seal.Commitment(frame); hex.EncodeToString(c[:]) != v.Get("commitment") {
		return "wrong-commitment"
	}
	inner, err := seal.Unframe(frame)
	if err != nil {
		return "wrong-commitment"
	}
	if hex.EncodeToString(inner) != v.Get("inner") {
		t.Errorf("the content is %x, want %s", inner, v.Get("inner"))
	}
	return "ok"
}

func write(t *testing.T, name, expect, comment string, body []byte, more ...vectors.Header) {
	t.Helper()
	v := &vectors.Vector{Name: "seal/" + name, Body: body, Headers: append([]vectors.Header{
		{Name: "expect", Value: expect}, {Name: "comment", Value: comment},
	}, more...)}
	path := filepath.Join("..", "..", "docs", "spec", "vectors", v.Name+".txt")
	if err := os.WriteFile(path, v.Encode(), 0o644); err != nil { //nolint:gosec // public
		t.Fatal(err)
	}
}

func header(name, value string) vectors.Header { return vectors.Header{Name: name, Value: value} }

func commitment(frame []byte) vectors.Header {
	c := seal.Commitment(frame)
	return header("commitment", hex.EncodeToString(c[:]))
}

func inner(b []byte) vectors.Header { return header("inner", hex.EncodeToString(b)) }

// salted is a frame whose salt is the bytes 0 to 31.
func salted(t *testing.T, content []byte) []byte {
	t.Helper()
	var salt [32]byte
	for i := range salt {
		salt[i] = byte(i)
	}
	f, err := seal.Frame(content, salt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func writeFrames(t *testing.T) {
	t.Helper()
	for name, n := range map[string]int{
		"frame-empty": 0, "frame-one": 1, "frame-minimum-full": 476, "frame-minimum-exceeded": 477, "frame-600": 600,
	} {
		content := bytes.Repeat([]byte{'k'}, n)
		f := salted(t, content)
		comment := strconv.Itoa(n) + " bytes of content; the salt is the bytes 0 to 31"
		write(t, name, "ok", comment, f, commitment(f), inner(content))
	}
	base := salted(t, bytes.Repeat([]byte{'k'}, 600))
	change := func(at int, b byte) []byte {
		f := bytes.Clone(base)
		f[at] = b
		return f
	}
	for _, v := range []struct {
		name, comment string
		f             []byte
	}{
		{"frame-padding-not-zero", "the last byte of the padding is 1", change(639, 1)},
		{"frame-padding-too-long", "zeros to 672 where PADMÉ gives 640", append(bytes.Clone(base), make([]byte, 32)...)},
		{"frame-padding-too-short", "no padding where PADMÉ gives 640", base[:636]},
		{"frame-length-beyond-end", "the length names more content than there is", change(34, 0xff)},
		{"frame-shorter-than-minimum", "511 bytes", salted(t, nil)[:511]},
	} {
		write(t, v.name, "wrong-commitment", v.comment, v.f, commitment(v.f))
	}
	write(t, "frame-other-commitment", "wrong-commitment", "the frame is right, the commitment is that of another", base,
		commitment(salted(t, nil)))
}

// sample is an act that an officer reports; all of it is invented.
func sample(t *testing.T) []byte {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&karaulav1.Inner{
		Ledger: bytes.Repeat([]byte{0x11}, 32), Channel: "b01-al-me", Origin: "al", Mode: karaulav1.Mode_MODE_TEST,
		Agreement: bytes.Repeat([]byte{0x22}, 32), Thread: bytes.Repeat([]byte{0x33}, 16),
		AlertId: bytes.Repeat([]byte{0x44}, 16), Version: 1, Kind: karaulav1.Kind_KIND_ACT,
		SaidAt: 1_750_000_000_000_000, OfficerRef: bytes.Repeat([]byte{0x55}, 16),
		Content: &karaulav1.Inner_Act{Act: &karaulav1.Act{Deed: karaulav1.Deed_DEED_SEEN, Remark: "invented"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func writeSealed(t *testing.T) {
	t.Helper()
	ids, rs := identities(t, 3)
	content := sample(t)
	f := salted(t, content)
	sealed, err := seal.Seal(f, rs[:2])
	if err != nil {
		t.Fatal(err)
	}
	at := func(id *age.HybridIdentity, stanza, n int) []vectors.Header {
		return []vectors.Header{
			header("identity", id.String()), header("stanza", strconv.Itoa(stanza)), header("stanzas", strconv.Itoa(n)),
		}
	}
	flip := func(i int) []byte {
		b := bytes.Clone(sealed)
		b[i] ^= 1
		return b
	}
	for _, v := range []struct {
		name, expect, comment string
		body                  []byte
		more                  []vectors.Header
	}{
		{"sealed-first", "ok", "sealed to two keys, opened with the first", sealed, at(ids[0], 0, 2)},
		{"sealed-second", "ok", "the same bytes, opened with the second key", sealed, at(ids[1], 1, 2)},
		{"sealed-wrong-stanza", "cannot-open", "the first key with the second stanza", sealed, at(ids[0], 1, 2)},
		{"sealed-wrong-key", "cannot-open", "a key that it is not sealed to", sealed, at(ids[2], 0, 2)},
		{"sealed-stanza-count", "cannot-open", "two stanzas, the statement names one", sealed, at(ids[0], 0, 1)},
		{"sealed-changed", "cannot-open", "one bit of the last byte is flipped", flip(len(sealed) - 1), at(ids[0], 0, 2)},
		{"sealed-cut", "cannot-open", "the last byte is missing", sealed[:len(sealed)-1], at(ids[0], 0, 2)},
		{"sealed-trailing", "cannot-open", "a byte follows", append(bytes.Clone(sealed), 0), at(ids[0], 0, 2)},
		{
			"sealed-other-stanza-changed", "cannot-open",
			"one character of the second stanza is another, opened with the first: the header's MAC covers both",
			flip(bytes.LastIndex(sealed, []byte("-> mlkem768x25519 ")) + 200), at(ids[0], 0, 2),
		},
	} {
		write(t, v.name, v.expect, v.comment, v.body, append(v.more, commitment(f), inner(content))...)
	}
	other := encryptPlain(t, []byte(strings.Repeat("k", 600)), rs[0])
	write(t, "sealed-not-a-frame", "wrong-commitment", "what opens is 600 bytes k and its commitment, but not a frame",
		other, append(at(ids[0], 0, 1), commitment([]byte(strings.Repeat("k", 600))))...)
	write(t, "sealed-other-frame", "wrong-commitment", "what opens is a frame, the commitment is that of another",
		sealed, append(at(ids[0], 0, 2), commitment(salted(t, nil)))...)
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write(t, "sealed-classic", "cannot-open", "sealed to a classic X25519 recipient",
		encryptPlain(t, f, classic.Recipient()), append(at(ids[0], 0, 1), commitment(f))...)
}

// encryptPlain is age without our rules.
func encryptPlain(t *testing.T, content []byte, r age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
