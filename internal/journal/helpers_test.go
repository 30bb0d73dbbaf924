package journal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"karaula/internal/envelope"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// place is where every journal of these tests begins.
func place() State {
	id := ledger.NewID("b01-al-me", "al", karaulav1.Mode_MODE_TEST, [32]byte{1})
	return State{Ledger: id, Channel: "b01-al-me", Epoch: 1, Tree: &ledger.Tree{}}
}

// signer is an invented key.
func signer() envelope.Signer {
	seed := sha256.Sum256([]byte("karaula test key 1"))
	return envelope.Signer{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyID: [16]byte{1}, Key: ed25519.NewKeyFromSeed(seed[:]),
	}
}

// next makes the statement that follows st, with a body of size bytes, and
// adds it to st.
func next(st *State, size int) (Entry, error) {
	k, root := signer(), st.Tree.Root()
	st.SaidAt = max(st.SaidAt, 1_750_000_000_000_000) + 1
	raw, err := envelope.Build(&karaulav1.Statement{
		Format: envelope.Format, Ledger: st.Ledger[:], Channel: st.Channel, Origin: "al", Mode: karaulav1.Mode_MODE_TEST,
		Epoch: st.Epoch, Seq: st.Tree.Size() + 1, PrevRoot: root[:], SaidAt: st.SaidAt,
		Agreement: bytes.Repeat([]byte{2}, 32), Card: bytes.Repeat([]byte{3}, 32), CardSerial: 1,
		Kind: karaulav1.Kind_KIND_NOTICE, Body: make([]byte, size),
		Signers: []*karaulav1.Signer{{Alg: k.Alg, KeyId: k.KeyID[:]}},
	})
	if err != nil {
		return Entry{}, err
	}
	sigs, err := envelope.Sign(raw, []envelope.Signer{k})
	if err != nil {
		return Entry{}, err
	}
	env, err := envelope.Assemble(raw, sigs, nil)
	if err != nil {
		return Entry{}, err
	}
	st.Tree.Append(envelope.Leaf(raw))
	return Entry{Seq: st.Tree.Size(), Envelope: env, Token: "notice", Leaf: envelope.Leaf(raw)}, nil
}

// batch makes the n statements that follow a journal's state.
func batch(t testing.TB, j *Journal, n int) []Entry {
	t.Helper()
	return follow(t, j.State(), n, 1)
}

// follow makes the n statements that follow st, with bodies of size bytes.
func follow(t testing.TB, st State, n, size int) []Entry {
	t.Helper()
	st = st.clone()
	out := make([]Entry, n)
	for i := range out {
		e, err := next(&st, size)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = e
	}
	return out
}

// path gives a file name in a folder of the test's own.
func path(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "journal", "b01-al-me.journal")
}

// mustOpen opens a journal and closes it when the test ends.
func mustOpen(t testing.TB, file string) *Journal {
	t.Helper()
	j, err := Open(file, place())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // most tests have closed it before
	j.copied = false                    // tests write files as a crash may leave them
	return j
}

func mustAppend(t testing.TB, j *Journal, entries []Entry) {
	t.Helper()
	if err := j.Append(entries); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mustWrite(t testing.TB, file string, raw []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// faulty is a file whose writes or syncs fail when told to.
type faulty struct {
	file
	failWrite, failSync bool
	unsynced            int // bytes written since the last sync
}

var errFaulty = errors.New("input/output error")

func (f *faulty) Write(b []byte) (int, error) {
	if f.failWrite {
		n, _ := f.file.Write(b[:len(b)/2]) // half of it gets through
		return n, errFaulty
	}
	f.unsynced += len(b)
	return f.file.Write(b)
}

func (f *faulty) Sync() error {
	if f.failSync {
		return errFaulty
	}
	f.unsynced = 0
	return f.file.Sync()
}
