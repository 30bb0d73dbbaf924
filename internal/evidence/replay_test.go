package evidence_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/evidence"
	"karaula/internal/problem"
	"karaula/internal/seal"
	"karaula/internal/terms"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// An honest history is told whole, in the order of its times, and nothing is
// found.
func TestHonestHistory(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(4)
	var last time.Time
	told := 0
	r := s.replay(func(said *evidence.Said) error {
		if said.At.Before(last) {
			t.Errorf("number %d of %s is told too late", said.Seq, said.Origin)
		}
		last = said.At
		told++
		if len(said.Readers) != 4 && said.Sealed {
			t.Errorf("readers are %v", said.Readers)
		}
		if said.Sealed && !slices.Equal(said.Clauses, []string{channel + " clause 1 (Art. 5)"}) {
			t.Errorf("said under %v", said.Clauses)
		}
		return nil
	}, s.inputs()...)
	if r.Broken || len(r.Findings) > 0 || told != 24 {
		t.Errorf("%d told, %v", told, r.Findings)
	}
	for _, l := range r.Ledgers {
		v := s.voices[l.Origin]
		if l.Size != 8 || l.Root != v.Tree.Root() || l.Statements != 8 || l.From != 1 {
			t.Errorf("%+v", l)
		}
		if l.Cosigned["al"]+l.Cosigned["me"]+l.Cosigned["xk"] < 14 {
			t.Errorf("%s: cosigned %v", l.Origin, l.Cosigned)
		}
	}
}

// What is exported verifies with nothing but root keys, gives the same bytes when
// it is exported again, and does not verify for whoever believes other roots.
func TestBundle(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(3)
	b, file := s.bundle(s.inputs())
	r := s.verify(b, s.roots()...)
	if r.Broken || len(r.Findings) > 0 || r.Ledgers[0].Statements != 6 {
		t.Errorf("%v", r.Findings)
	}
	if _, again := s.bundle(b.Ledgers); !bytes.Equal(file, again) {
		t.Error("the same slice gives another file")
	}
	r = s.verify(b, s.roots()[:2]...)
	if got := classes(r); !r.Broken || !slices.Equal(got, []string{"untrusted  0"}) {
		t.Errorf("without the root of xk: %v", got)
	}
	if r = s.verify(b, s.NewRoot("al").VKey, s.roots()[1], s.roots()[2]); !r.Broken {
		t.Error("another root of al will do")
	}
}

// Every slice of a history verifies by itself, with the receipts about it.
func TestSlices(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	begin := s.Now
	s.talk(5)
	s.View("al") // once, before several look
	for name, c := range map[string]evidence.Choice{
		"from":   {From: begin.Add(13 * time.Second)},
		"to":     {To: begin.Add(9 * time.Second)},
		"window": {From: begin.Add(8 * time.Second), To: begin.Add(20 * time.Second)},
		"origin": {Origin: "me", From: begin.Add(8 * time.Second)},
		"place":  {Places: []evidence.Place{{Channel: channel, Origin: "al", Epoch: 1, Seq: 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inputs, err := evidence.Choose(s.inputs(), c)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := s.bundle(inputs)
			r := s.verify(b, s.roots()...)
			if r.Broken || len(r.Findings) > 0 || len(r.Ledgers) != 3 {
				t.Fatalf("%v", r.Findings)
			}
			got := map[string][2]uint64{}
			for _, l := range r.Ledgers {
				got[l.Origin] = [2]uint64{l.From, l.Size}
			}
			want := map[string]map[string][2]uint64{
				"from":   {"al": {5, 10}, "me": {5, 10}, "xk": {5, 10}},
				"to":     {"al": {1, 5}, "me": {1, 5}, "xk": {1, 5}},
				"window": {"al": {4, 9}, "me": {3, 9}, "xk": {3, 9}},
				"origin": {"al": {4, 10}, "me": {3, 10}, "xk": {4, 10}},
				"place":  {"al": {5, 6}, "me": {6, 7}, "xk": {6, 7}},
			}
			if diff := cmp.Diff(want[name], got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What the store says when it fails is said, and not taken for an end.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(1)
	in := s.input("al", nil)
	in.Pieces = func(yield func(evidence.Raw, error) bool) {
		if yield(evidence.Raw{Data: s.raws["al"][0]}, nil) {
			yield(evidence.Raw{}, context.DeadlineExceeded)
		}
	}
	_, err := evidence.Replay(t.Context(), evidence.Options{View: s.View("al"), Skew: skew, Now: s.Now}, []evidence.Input{in})
	if err == nil {
		t.Error("half a ledger passes for a whole one")
	}
}

// auditorKey opens what is sealed to the auditor of the scene.
type auditorKey struct{ p *testworld.Party }

func (k auditorKey) Open(rec *karaulav1.Recipient, sealed []byte, i, n int) ([]byte, error) {
	key, ok := k.p.Identity(rec.GetUse(), rec.GetKeyId())
	if !ok {
		return nil, problem.New(problem.Locked, "locked")
	}
	return seal.Open(sealed, key.Identity, i, n)
}

// An auditor whom the text names reads what was sealed, and judges it as a reader
// does; without its key, or for somebody whom no text names, nothing opens.
func TestAuditorReads(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.talk(1)
	d := vehicle()
	d.Inner = func(in *karaulav1.Inner) { in.GetAlert().GetVehicle().Plates = nil } // only a reader sees that
	s.say("al", d)
	opened := map[string]int{}
	for who, key := range map[string]string{"auditor": "auditor", "me": "auditor"} {
		verdicts := []string{}
		_, err := evidence.Replay(t.Context(), evidence.Options{
			View: s.View("al"), Skew: skew, Now: s.Now, Reader: who, Opener: auditorKey{s.Parties[key]},
			Tell: func(said *evidence.Said) error {
				if said.Verdict.Inner.GetAlert() != nil {
					opened[who]++
				}
				verdicts = append(verdicts, terms.CodeWord(said.Verdict.Code))
				return nil
			},
		}, s.inputs())
		if err != nil {
			t.Fatal(err)
		}
		if who == "auditor" && verdicts[len(verdicts)-1] != "invalid-content" {
			t.Errorf("judged %v", verdicts)
		}
	}
	if opened["auditor"] < 3 || opened["me"] != 0 {
		t.Errorf("opened: %v", opened)
	}
}
