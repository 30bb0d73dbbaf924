package evidence_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/evidence"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const (
	channel = "t01-al-me-xk"
	skew    = 5 * time.Minute
)

var parties = []string{"al", "me", "xk"}

// scene is a channel of three parties that have said things and receipted them.
type scene struct {
	*testworld.World
	text   *agreement.Agreement
	voices map[string]*testworld.Voice
	raws   map[string][][]byte // what was said, by origin
	judged map[string]uint64   // by "who of whom"
}

func newScene(t testing.TB) *scene {
	t.Helper()
	codes := append(slices.Clone(parties), "auditor")
	w := testworld.New(t, codes...)
	s := &scene{
		World: w, text: w.Agree(w.Text(channel, codes)), voices: map[string]*testworld.Voice{},
		raws: map[string][][]byte{}, judged: map[string]uint64{},
	}
	for _, code := range parties {
		s.voices[code] = w.Voice(code, s.text, channel)
	}
	return s
}

// say has a party say something, and the clock go on.
func (s *scene) say(code string, d testworld.Draft) {
	s.T.Helper()
	s.Now = s.Now.Add(time.Second)
	s.raws[code] = append(s.raws[code], s.voices[code].Say(d))
}

// receipt has a party receipt everything that the others have said.
func (s *scene) receipt(code string, edit func(*karaulav1.LedgerReceipt)) {
	s.T.Helper()
	r := &karaulav1.Receipt{}
	for _, other := range parties {
		v := s.voices[other]
		key := code + " of " + other
		if other == code || v.Tree.Size() == s.judged[key] {
			continue
		}
		root := v.Tree.Root()
		l := &karaulav1.LedgerReceipt{
			Ledger: v.ID[:], Epoch: v.Epoch, JudgedTo: v.Tree.Size(), Root: root[:], Since: s.judged[key],
		}
		if edit != nil {
			edit(l)
		}
		r.Ledgers = append(r.Ledgers, l)
		s.judged[key] = v.Tree.Size()
	}
	slices.SortFunc(r.GetLedgers(), func(a, b *karaulav1.LedgerReceipt) int { return bytes.Compare(a.GetLedger(), b.GetLedger()) })
	s.say(code, testworld.Draft{Kind: karaulav1.Kind_KIND_RECEIPT, Body: r})
}

func vehicle() testworld.Draft { return testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE) }

// talk has everybody say an alert, and receipt those of the others, n times.
func (s *scene) talk(n int) {
	s.T.Helper()
	for range n {
		for _, code := range parties {
			s.say(code, vehicle())
		}
		for _, code := range parties {
			s.receipt(code, nil)
		}
	}
}

// input is what a store holds of a party's ledger.
func (s *scene) input(code string, raws [][]byte) evidence.Input {
	v := s.voices[code]
	return evidence.Input{
		Channel: channel, Origin: code, Mode: v.Channel.Mode, ID: v.ID,
		Pieces: func(yield func(evidence.Raw, error) bool) {
			for i, raw := range raws {
				if !yield(evidence.Raw{Data: raw, Where: fmt.Sprint("piece ", i+1)}, nil) {
					return
				}
			}
		},
	}
}

func (s *scene) inputs() []evidence.Input {
	var out []evidence.Input
	for _, code := range parties {
		out = append(out, s.input(code, s.raws[code]))
	}
	return out
}

// replay replays what al knows.
func (s *scene) replay(tell func(*evidence.Said) error, inputs ...evidence.Input) *evidence.Report {
	s.T.Helper()
	r, err := evidence.Replay(context.Background(), evidence.Options{
		View: s.View("al"), Skew: skew, Now: s.Now.Add(time.Hour), Tell: tell,
	}, inputs)
	if err != nil {
		s.T.Fatal(err)
	}
	return r
}

func (s *scene) roots() []string {
	var out []string
	for _, code := range parties {
		out = append(out, s.Parties[code].Root.VKey)
	}
	return out
}

// classes are the findings in short, sorted: "missing al 3".
func classes(r *evidence.Report) []string {
	out := []string{}
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s %d", f.Class, f.Origin, f.Seq))
	}
	slices.Sort(out)
	return out
}

// bundle exports inputs and opens the result.
func (s *scene) bundle(inputs []evidence.Input) (*evidence.Bundle, []byte) {
	s.T.Helper()
	var out bytes.Buffer
	b := &evidence.Bundle{Party: "al", Ledgers: inputs, Register: s.View("al").Files()}
	if err := b.WriteBundle(&out); err != nil {
		s.T.Fatal(err)
	}
	return s.open(out.Bytes()), out.Bytes()
}

func (s *scene) open(file []byte) *evidence.Bundle {
	s.T.Helper()
	b, err := evidence.OpenBundle(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		s.T.Fatal(err)
	}
	return b
}

func (s *scene) verify(b *evidence.Bundle, roots ...string) *evidence.Report {
	s.T.Helper()
	r, _, err := b.Verify(context.Background(), evidence.VerifyOptions{Roots: roots, Skew: skew, Now: s.Now.Add(time.Hour)})
	if err != nil {
		s.T.Fatal(err)
	}
	return r
}
