package evidence_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/evidence"
	"karaula/internal/problem"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// attack is what somebody does to a history, and what must be found.
type attack struct {
	name string
	do   func(s *scene)
	want []string // class, origin and number of every finding
}

// reseal changes the statement of a stored envelope, and leaves its signature.
func reseal(raw []byte, change func(*karaulav1.Envelope, *karaulav1.Statement)) []byte {
	var e karaulav1.Envelope
	var st karaulav1.Statement
	if proto.Unmarshal(raw, &e) != nil || proto.Unmarshal(e.GetStatement(), &st) != nil {
		panic("no envelope")
	}
	change(&e, &st)
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(&st)
	if err != nil {
		panic(err)
	}
	e.Statement = out
	raw, err = proto.MarshalOptions{Deterministic: true}.Marshal(&e)
	if err != nil {
		panic(err)
	}
	return raw
}

func without(raws [][]byte, i int) [][]byte { return slices.Delete(slices.Clone(raws), i, i+1) }

// storeAttacks are what whoever runs a store can do, without any key.
func storeAttacks() []attack {
	return []attack{
		{"a byte of the sealed content", func(s *scene) {
			raw := bytes.Clone(s.raws["al"][2])
			raw[len(raw)-1] ^= 1
			s.raws["al"][2] = raw
		}, []string{"damaged al 3"}},
		{"a byte of a statement", func(s *scene) {
			s.raws["al"][2] = reseal(s.raws["al"][2], func(_ *karaulav1.Envelope, st *karaulav1.Statement) { st.EraseAfter++ })
		}, []string{"missing al 3", "stranger al 3"}},
		{"a byte of a signature", func(s *scene) {
			s.raws["al"][2] = reseal(s.raws["al"][2], func(e *karaulav1.Envelope, _ *karaulav1.Statement) { e.Signatures[0].Sig[7] ^= 1 })
		}, []string{"missing al 3", "stranger al 3"}},
		{"a byte of a receipt", func(s *scene) {
			s.raws["me"][3] = reseal(s.raws["me"][3], func(_ *karaulav1.Envelope, st *karaulav1.Statement) {
				st.Body[len(st.GetBody())-1] ^= 1
			})
		}, []string{"missing me 4", "stranger me 4"}},
		{"drop the first", func(s *scene) { s.raws["al"] = without(s.raws["al"], 0) }, []string{"missing al 1"}},
		{"drop a middle one", func(s *scene) { s.raws["al"] = without(s.raws["al"], 3) }, []string{"missing al 4"}},
		{"drop the last two", func(s *scene) { s.raws["al"] = s.raws["al"][:4] }, []string{"missing al 5", "missing al 5"}},
		{"swap two", func(s *scene) {
			list := s.raws["al"]
			list[2], list[3] = list[3], list[2]
		}, []string{"moved al 4"}},
		{"an old one once more", func(s *scene) { s.raws["al"] = append(s.raws["al"], s.raws["al"][1]) }, []string{"repeated al 2"}},
		{"an old one under a new number", func(s *scene) {
			s.raws["al"] = append(s.raws["al"], reseal(s.raws["al"][1], func(_ *karaulav1.Envelope, st *karaulav1.Statement) {
				root := s.voices["al"].Tree.Root()
				st.Seq, st.PrevRoot = 7, root[:]
			}))
		}, []string{"stranger al 7"}},
		{"what another party said", func(s *scene) {
			s.raws["al"] = append(s.raws["al"], s.raws["me"][5])
		}, []string{"stranger al 6"}},
		{"noise", func(s *scene) { s.raws["al"] = slices.Insert(s.raws["al"], 2, []byte("noise")) }, []string{"stranger al 0"}},
	}
}

// partyAttacks are what a party can do with its own keys, or a thief of them.
func partyAttacks() []attack {
	return []attack{
		{"two histories for two partners", func(s *scene) {
			other := s.voices["al"].Clone()
			s.Now = s.Now.Add(time.Second)
			_ = other.Say(vehicle()) // what me is shown
			s.say("al", vehicle())
			s.voices["al"], other = other, s.voices["al"]
			s.receipt("me", nil)
			s.voices["al"] = other
		}, []string{"two-histories al 7"}},
		{"restore an old backup and go on", func(s *scene) {
			old := s.voices["al"].Clone()
			s.say("al", vehicle())
			s.voices["al"] = old
			s.say("al", vehicle())
		}, []string{"fork al 7"}},
		{"go on from another root", func(s *scene) {
			other := s.voices["al"].Clone()
			other.Tree.Append(testworldLeaf())
			s.say("al", vehicle())
			s.Now = s.Now.Add(time.Second)
			s.raws["al"] = append(s.raws["al"], other.Say(vehicle()))
		}, []string{"fork al 8"}},
		{"a number skipped", func(s *scene) {
			s.voices["al"].Tree.Append(testworldLeaf())
			s.say("al", vehicle())
		}, []string{"missing al 7"}},
		{"forge a receipt", func(s *scene) {
			s.say("al", vehicle())
			s.receipt("me", func(l *karaulav1.LedgerReceipt) { l.Root = testworld.Random(32) })
		}, []string{"two-histories al 7", "two-histories xk 6"}},
		{"receipt what was never said", func(s *scene) {
			s.say("al", vehicle())
			s.receipt("me", func(l *karaulav1.LedgerReceipt) { l.JudgedTo += 100 })
		}, []string{"missing al 8", "missing xk 7"}},
		{"a verdict about another statement", func(s *scene) {
			s.say("al", vehicle())
			s.receipt("xk", func(l *karaulav1.LedgerReceipt) {
				l.Exceptions = []*karaulav1.ReceiptException{{
					Seq: l.GetJudgedTo(), Digest: testworld.Random(32), JudgedAt: s.Now.UnixMicro(),
					Class: karaulav1.VerdictClass_VERDICT_CLASS_REFUSED, Code: karaulav1.Code_CODE_HANDLING,
				}}
			})
		}, []string{"two-histories al 7"}},
		{"accept what must be refused", func(s *scene) {
			s.say("me", testworld.Said(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING))
			s.receipt("al", nil)
		}, []string{"disagreement me 7", "refused me 7"}},
		{"backdate below the one before", func(s *scene) {
			d := vehicle()
			d.Set = func(st *karaulav1.Statement) { st.SaidAt -= time.Minute.Microseconds() }
			s.say("al", d)
		}, []string{"refused al 7"}},
		{"a clock far ahead", func(s *scene) {
			d := vehicle()
			d.Set = func(st *karaulav1.Statement) { st.SaidAt += (48 * time.Hour).Microseconds() }
			s.say("al", d)
		}, []string{"clock al 7"}},
		{"a clock far behind", func(s *scene) {
			s.Now = s.Now.Add(time.Hour)
			s.say("al", vehicle())
			now := s.Now
			s.Now = now.Add(-50 * time.Minute)
			s.receipt("me", nil) // of what it says is yet to come
			s.Now = now
		}, []string{"clock me 7"}},
		{"an expired key", func(s *scene) {
			s.Now = s.voices["al"].Card.Until.Add(time.Hour)
			s.say("al", vehicle())
		}, []string{"refused al 7"}},
	}
}

func testworldLeaf() [32]byte { return [32]byte(testworld.Random(32)) }

// Everything that somebody does to a history is noticed, named, and placed.
func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, a := range append(storeAttacks(), partyAttacks()...) {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.talk(3)
			a.do(s)
			r := s.replay(nil, s.inputs()...)
			if got := classes(r); !slices.Equal(got, a.want) {
				t.Errorf("found %v, want %v: %v", got, a.want, r.Findings)
			}
			b, _ := s.bundle(s.inputs())
			noise := slices.Contains([]string{"noise", "what another party said"}, a.name) // no bundle takes it in
			if got := s.verify(b, s.roots()...); got.Broken != r.Broken && !noise {
				t.Errorf("as a bundle it is judged otherwise: %v", got.Findings)
			}
		})
	}
}

// A fork that is found can be handed on as a file of its own.
func TestForkIsPortable(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"restore an old backup and go on", "go on from another root"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.talk(1)
			i := slices.IndexFunc(partyAttacks(), func(a attack) bool { return a.name == name })
			partyAttacks()[i].do(s)
			r := s.replay(nil, s.inputs()...)
			if len(r.Findings) != 1 || r.Findings[0].Fork == nil {
				t.Fatalf("no file of it: %v", r.Findings)
			}
			file, err := evidence.ParseProof(r.Findings[0].Fork.Marshal())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.Check(s.roots()); err != nil {
				t.Error(err)
			}
			if _, err := file.Check(s.roots()[1:]); err == nil {
				t.Error("it verifies without the root of al")
			}
		})
	}
}

// What was put aside is searched for contradictions, and for nothing else.
func TestForkThatWasPutAside(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(3)
	other := s.forked()
	in := s.input("al", s.raws["al"])
	in.Aside = s.input("al", [][]byte{[]byte("noise"), s.raws["al"][1], s.raws["me"][1], other}).Pieces
	r := s.replay(nil, in)
	if got := classes(r); !slices.Equal(got, []string{"fork al 6"}) || r.Findings[0].Fork == nil {
		t.Errorf("found %v", got)
	}
}

// revoke gives al new keys, revokes the old one from its last statement on, and
// gives the key that was stolen before.
func (s *scene) revoke() func() []byte {
	s.T.Helper()
	al := s.voices["al"]
	stolen := al.Clone()
	old, _ := al.Card.Current(karaulav1.KeyUse_KEY_USE_SIGN)
	fresh := s.Rotate("al", func(c *card.Card) {
		c.Revoked = []card.Revocation{{Key: old.ID, Ledger: al.ID, Epoch: 1, Seq: al.Tree.Size()}}
	})
	s.Give(fresh.Signed, "me", "xk")
	return func() []byte { return stolen.Say(vehicle()) }
}

// What a thief signs with a revoked key behind the last good number is named.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(2)
	thief := s.revoke()
	s.raws["al"] = append(s.raws["al"], thief())
	if got := classes(s.replay(nil, s.inputs()...)); !slices.Equal(got, []string{"refused al 5", "revoked al 5"}) {
		t.Errorf("found %v", got)
	}
}

// A text that looks like the one that was signed is not taken for it, and a card
// of another root neither.
func TestLookAlikes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(1)
	_, file := s.bundle(s.inputs())
	swap := func(pick func(path string) bool, change func([]byte) []byte) *evidence.Report {
		b := s.open(file)
		found := false
		for path, body := range b.Register {
			if pick(path) {
				b.Register[path], found = change(body), true
			}
		}
		if !found {
			t.Fatal("nothing was swapped")
		}
		return s.verify(b, s.roots()...)
	}
	isText := func(path string) bool { return strings.HasSuffix(path, ".agreement") }
	r := swap(isText, func(body []byte) []byte {
		return bytes.Replace(body, []byte("handling<=H2"), []byte("handling<=H3"), 1)
	})
	if !r.Broken || r.Findings[0].Class != evidence.Damaged {
		t.Errorf("a changed text: %v", r.Findings)
	}
	r = swap(isText, func([]byte) []byte {
		alike := s.Text(channel, append(slices.Clone(parties), "auditor"), "retain<=90d", "retain<=91d")
		return s.Sign(alike, parties...)
	})
	if !r.Broken || !slices.ContainsFunc(r.Findings, func(f *evidence.Finding) bool {
		return f.Class == evidence.Unknown && f.Code == karaulav1.Code_CODE_UNKNOWN_AGREEMENT
	}) {
		t.Errorf("a text that all have signed, but not the one that was named: %v", r.Findings)
	}
	mine := testworld.New(t, parties...)
	r = swap(isText, func([]byte) []byte {
		return mine.Sign(mine.Text(channel, parties), parties...)
	})
	if !r.Broken {
		t.Errorf("a text of somebody else's keys: %v", r.Findings)
	}
}

// A frame proves the one statement that commits to it.
func TestDisclosedFrames(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var frames [][]byte
	for range 2 {
		d := vehicle()
		d.Frame = func(b []byte) []byte { frames = append(frames, bytes.Clone(b)); return b }
		s.say("al", d)
	}
	b, _ := s.bundle(s.inputs())
	b.Frames = map[string][]byte{channel + ".al/1-000000000001": frames[0], channel + ".al/1-000000000002": frames[1]}
	if r := s.verify(b, s.roots()...); r.Broken || len(r.Findings) > 0 {
		t.Errorf("%v", r.Findings)
	}
	b.Frames[channel+".al/1-000000000002"] = frames[0]
	if got := classes(s.verify(b, s.roots()...)); !slices.Contains(got, "damaged al 2") {
		t.Errorf("the frame of another message: %v", got)
	}
	delete(b.Frames, channel+".al/1-000000000002")
	b.Frames[channel+".al/1-000000000009"] = frames[0]
	if r := s.verify(b, s.roots()...); !r.Broken {
		t.Error("a frame of no statement")
	}
}

// Bundles made of the pieces of two honest ones do not verify.
func TestSplicedBundle(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(4)
	one, err := evidence.Choose(s.inputs(), evidence.Choice{Places: []evidence.Place{{Channel: channel, Origin: "al", Epoch: 1, Seq: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := evidence.Choose(s.inputs(), evidence.Choice{Places: []evidence.Place{{Channel: channel, Origin: "al", Epoch: 1, Seq: 5}}})
	if err != nil {
		t.Fatal(err)
	}
	spliced := one[0]
	spliced.Pieces = other[0].Pieces
	b, _ := s.bundle(append([]evidence.Input{spliced}, one[1:]...))
	if r := s.verify(b, s.roots()...); !r.Broken {
		t.Error("the proof of another message will do")
	}
	_, whole := s.bundle(s.inputs())
	for name, file := range map[string][]byte{"more": append(bytes.Clone(whole), 'x'), "less": whole[:len(whole)-1500]} {
		if _, err := evidence.OpenBundle(bytes.NewReader(file), int64(len(file))); !problem.Is(err, problem.Invalid) {
			t.Errorf("with %s at its end: %v", name, err)
		}
	}
	moved := other[0]
	moved.Start = &evidence.Start{Epoch: 1, Size: 4, Edge: one[0].Start.Edge}
	b, _ = s.bundle([]evidence.Input{moved})
	if got := classes(s.verify(b, s.roots()...)); !slices.Equal(got, []string{"damaged al 5"}) {
		t.Errorf("the hashes of another place: %v", got)
	}
	stub, err := envelope.Stub(s.raws["al"][2])
	if err != nil {
		t.Fatal(err)
	}
	s.raws["al"][2] = stub
	b, _ = s.bundle(s.inputs())
	if r := s.verify(b, s.roots()...); r.Broken {
		t.Errorf("an erased statement still verifies: %v", r.Findings)
	}
}
