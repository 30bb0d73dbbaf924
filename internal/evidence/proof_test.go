package evidence_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"karaula/internal/evidence"
	"karaula/internal/problem"
)

// vectorDir holds the files of docs/spec/evidence.md that other implementations
// can be tried on. They are made anew with KARAULA_UPDATE_EVIDENCE=1; every run
// has other keys.
const vectorDir = "../../docs/spec/vectors/evidence"

// proofs makes one proof of every fact about al.
func (s *scene) proofs() map[string]*evidence.Proof {
	s.T.Helper()
	in := s.input("al", s.raws["al"])
	out := map[string]*evidence.Proof{}
	for name, ask := range map[string]evidence.Ask{
		"inclusion":       {Fact: evidence.Inclusion, From: 2, To: 5},
		"inclusion-all":   {Fact: evidence.Inclusion, From: 3},
		"consistency":     {Fact: evidence.Consistency, From: 3, To: 5},
		"consistency-all": {Fact: evidence.Consistency, From: 2},
		"range":           {Fact: evidence.Range, From: 2, To: 4},
		"range-all":       {Fact: evidence.Range, From: 1},
	} {
		p, err := evidence.Prove(s.View("al"), in, ask)
		if err != nil {
			s.T.Fatalf("%s: %v", name, err)
		}
		out[name] = p
	}
	fork, err := evidence.NewFork(s.View("al"), s.raws["al"][5], s.forked())
	if err != nil {
		s.T.Fatal(err)
	}
	out["fork"] = fork
	return out
}

// forked says another number 6 of al than the one that was said.
func (s *scene) forked() []byte {
	other := s.voices["al"].Clone()
	tree, err := evidence.TreeOf(s.raws["al"][:5])
	if err != nil {
		s.T.Fatal(err)
	}
	other.Tree = tree
	return other.Say(vehicle())
}

// Every proof verifies with the root of its party, in its one form, and nothing
// else verifies: no other root, number, hash, statement, or card.
func TestProofs(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(3)
	root := s.roots()[:1]
	for name, p := range s.proofs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := p.Marshal()
			read, err := evidence.ParseProof(file)
			if err != nil || !bytes.Equal(read.Marshal(), file) {
				t.Fatalf("not read back: %v", err)
			}
			if checked, err := read.Check(root); err != nil || checked.Origin != "al" || checked.Text == "" {
				t.Fatalf("%+v %v", checked, err)
			}
			bare := *p
			bare.Bare = true
			small, err := evidence.ParseProof(bare.Marshal())
			if err != nil || !bytes.Equal(small.Marshal(), bare.Marshal()) {
				t.Fatalf("bare, it is not read back: %v", err)
			}
			if _, err := small.Check(root); !problem.Is(err, problem.Verification) {
				t.Errorf("bare, it verifies without a card: %v", err)
			}
			small.AddCards(s.Parties["me"].Card.Signed)
			if _, err := small.Check(root); !problem.Is(err, problem.Verification) {
				t.Errorf("bare, it verifies with another's card: %v", err)
			}
			small.AddCards(s.Parties["me"].Card.Signed, s.Parties["al"].Card.Signed)
			if checked, err := small.Check(root); err != nil || checked.Origin != "al" {
				t.Errorf("bare, with the card: %v", err)
			}
			if _, err := read.Check(s.roots()[1:]); !problem.Is(err, problem.Verification) {
				t.Errorf("without the root of al: %v", err)
			}
			for change, do := range map[string]func(*evidence.Proof){
				"from":      func(p *evidence.Proof) { p.From++ },
				"to":        func(p *evidence.Proof) { p.To++ },
				"size":      func(p *evidence.Proof) { p.Size++ },
				"hash":      func(p *evidence.Proof) { p.Hashes = append(slices.Clone(p.Hashes), [32]byte{1}) },
				"statement": func(p *evidence.Proof) { p.Statements = append([][]byte{s.raws["al"][4]}, p.Statements[1:]...) },
				"dropped":   func(p *evidence.Proof) { p.Statements = p.Statements[1:] },
				"card":      func(p *evidence.Proof) { p.Cards = nil },
				"other":     func(p *evidence.Proof) { p.Statements = append(slices.Clone(p.Statements[:1]), s.raws["me"][5]) },
			} {
				bad := *read
				do(&bad)
				if _, err := bad.Check(root); !problem.Is(err, problem.Verification) {
					t.Errorf("%s changed: %v", change, err)
				}
			}
		})
	}
}

// The files that stand with the specification verify, for ever.
func TestEvidenceVectors(t *testing.T) {
	t.Parallel()
	if os.Getenv("KARAULA_UPDATE_EVIDENCE") != "" {
		writeVectors(t)
	}
	text, err := os.ReadFile(filepath.Join(vectorDir, "roots.txt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := strings.Fields(string(text))
	own, err := os.ReadFile(filepath.Join(vectorDir, "al.card"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(vectorDir, "*"))
	if err != nil || len(list) < 15 {
		t.Fatal(len(list), err)
	}
	for _, path := range list {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		good := !strings.HasPrefix(name, "bad-")
		switch filepath.Ext(name) {
		case ".proof":
			p, err := evidence.ParseProof(body)
			if err == nil {
				p.AddCards(own) // for those that are bare
				_, err = p.Check(roots)
			}
			if good != (err == nil) {
				t.Errorf("%s: %v", name, err)
			}
		case ".bundle":
			b, err := evidence.OpenBundle(bytes.NewReader(body), int64(len(body)))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			r, _, err := b.Verify(t.Context(), evidence.VerifyOptions{Roots: roots, Skew: skew, Now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)})
			if err != nil || good == r.Broken {
				t.Errorf("%s: %v %v", name, err, r.Findings)
			}
		}
	}
}

// writeVectors makes the files anew.
func writeVectors(t *testing.T) {
	t.Helper()
	s := newScene(t)
	var frame []byte
	d := vehicle()
	d.Frame = func(b []byte) []byte { frame = bytes.Clone(b); return b }
	s.say("al", d)
	s.talk(3)
	put := func(name string, body []byte) {
		if err := os.WriteFile(filepath.Join(vectorDir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(vectorDir, 0o700); err != nil {
		t.Fatal(err)
	}
	put("al.card", s.Parties["al"].Card.Signed)
	put("roots.txt", []byte(strings.Join(s.roots(), "\n")+"\n"))
	for name, p := range s.proofs() {
		put(name+".proof", p.Marshal())
		bare := *p
		bare.Bare = true
		put("bare-"+name+".proof", bare.Marshal())
		p.To++
		bare.To++
		put("bad-"+name+".proof", p.Marshal())
		put("bad-bare-"+name+".proof", bare.Marshal())
	}
	write := func(name string, raws [][]byte) {
		var out bytes.Buffer
		frames := map[string][]byte{evidence.Place{Channel: channel, Origin: "al", Epoch: 1, Seq: 1}.Name(): frame}
		inputs := append([]evidence.Input{s.input("al", raws)}, s.inputs()[1:]...)
		b := &evidence.Bundle{Party: "al", Ledgers: inputs, Register: s.View("al").Files(), Frames: frames}
		if err := b.WriteBundle(&out); err != nil {
			t.Fatal(err)
		}
		put(name, out.Bytes())
	}
	write("whole.bundle", s.raws["al"])
	write("bad-forked.bundle", append(slices.Clone(s.raws["al"]), s.forked()))
}

// FuzzProof: whatever is read as a proof has the one form, and only what was
// signed verifies.
func FuzzProof(f *testing.F) {
	seeds(f, "*.proof")
	f.Add([]byte("karaula inclusion v1 bare\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := evidence.ParseProof(file)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Marshal(), file) {
			t.Error("a proof with another form is read")
		}
		if _, err := p.Check(nil); err == nil {
			t.Error("it verifies without a root")
		}
	})
}

// FuzzBundle: nothing in a bundle makes its reader fall, and nothing verifies
// that no root vouches for.
func FuzzBundle(f *testing.F) {
	seeds(f, "*.bundle")
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := evidence.OpenBundle(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		total := uint64(0)
		r, _, err := b.Verify(t.Context(), evidence.VerifyOptions{
			Skew: skew, Now: time.Unix(1_800_000_000, 0), Tell: func(*evidence.Said) error { total++; return nil },
		})
		if err == nil && !r.Broken && total > 0 {
			t.Error("it verifies without a root")
		}
	})
}

func seeds(f *testing.F, pattern string) {
	f.Helper()
	list, err := filepath.Glob(filepath.Join(vectorDir, pattern))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range list {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
}
