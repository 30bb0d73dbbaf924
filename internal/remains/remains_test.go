package remains_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"karaula/internal/remains"
)

func question() *remains.Question {
	return &remains.Question{Stream: "IN_b01-al-me_me", Needles: [][]byte{bytes.Repeat([]byte{1}, 64), bytes.Repeat([]byte{2}, 64)}}
}

func TestAnswersCountOnlyForTheirQuestion(t *testing.T) {
	t.Parallel()
	q := question()
	raw, err := q.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	got, err := remains.ParseQuestion(raw)
	if err != nil || got.Stream != q.Stream || len(got.Needles) != 2 || !bytes.Equal(got.Needles[1], q.Needles[1]) {
		t.Fatalf("%v, %v", got, err)
	}
	for answer, want := range map[string]string{
		`{"server":"me-1","needles":2}`:                                "gone gone",
		`{"server":"me-1","needles":2,"store":[1]}`:                    "gone there",
		`{"server":"me-1","needles":2,"log":[0]}`:                      "there gone",
		`{"server":"me-1","needles":2,"unknown":"a file is not read"}`: "there there",
		`{"server":"me-2","needles":2}`:                                "",
		`{"server":"me-1","needles":1}`:                                "",
		`{"server":"me-1","needles":3,"store":[2]}`:                    "",
		`{"server":"me-1","needles":2,"store":[2]}`:                    "",
		`{"server":"me-1","needles":2,"log":[-1]}`:                     "",
		`{"server":"me-1","needles":2,"log":[1,0]}`:                    "",
		`{"server":"me-1"}`:                                            "",
		`{}`:                                                           "",
		``:                                                             "",
		`{"server":"me-1","needles":2`:                                 "",
		`{"server":"me-1","needles":2,"x":"` + strings.Repeat("y", 70_000) + `"}`: "",
	} {
		a, err := remains.ParseAnswer([]byte(answer), "me-1", q)
		if (err != nil) != (want == "") {
			t.Errorf("%.60s: %v", answer, err)
		}
		if err != nil {
			continue
		}
		var got []string
		for i := range 2 {
			got = append(got, map[bool]string{true: "gone", false: "there"}[a.Gone(i)])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", answer, got, want)
		}
	}
}

func TestQuestionsHaveLimits(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(q *remains.Question){
		"no stream":        func(q *remains.Question) { q.Stream = "" },
		"no needle":        func(q *remains.Question) { q.Needles = nil },
		"a short needle":   func(q *remains.Question) { q.Needles[1] = q.Needles[1][:31] },
		"a long needle":    func(q *remains.Question) { q.Needles[1] = slices.Repeat(q.Needles[1], 2) },
		"too many needles": func(q *remains.Question) { q.Needles = slices.Repeat(q.Needles, remains.MaxNeedles) },
	} {
		q := question()
		spoil(q)
		raw, err := q.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remains.ParseQuestion(raw); err == nil {
			t.Errorf("%s: it is taken", what)
		}
	}
	q := question()
	q.Needles = slices.Repeat(q.Needles, remains.MaxNeedles/2)
	raw, err := q.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remains.ParseQuestion(raw); err != nil {
		t.Errorf("the largest one: %v", err)
	}
}

// How the copies are is a question by itself.
func TestTheCopiesAreAnotherQuestion(t *testing.T) {
	t.Parallel()
	raw, err := (&remains.Question{Copies: true}).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	q, err := remains.ParseQuestion(raw)
	if err != nil || !q.Copies || q.Stream != "" || len(q.Needles) > 0 {
		t.Fatalf("%+v, %v", q, err)
	}
	if raw, err = (&remains.Answer{Server: "me-1", Copies: strings.Repeat("y", 70_000)}).Bytes(); err != nil {
		t.Fatal(err)
	}
	if a, err := remains.ParseAnswer(raw, "me-1", q); err != nil || len(a.Copies) == 0 || len(a.Copies) > 1000 {
		t.Errorf("%v", err)
	}
}

func FuzzQuestion(f *testing.F) {
	raw, err := question().Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := remains.ParseQuestion(raw)
		if err != nil {
			return
		}
		again, err := q.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remains.ParseQuestion(again); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"server":"me-1","needles":2,"store":[0],"log":[1]}`))
	f.Add([]byte(`{"server":"me-1","needles":2,"unknown":"why"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := remains.ParseAnswer(raw, "me-1", question())
		if err != nil {
			return
		}
		for i := range 2 {
			if a.Gone(i) && (slices.Contains(a.Store, i) || slices.Contains(a.Log, i) || a.Unknown != "") {
				t.Fatalf("%+v counts as gone", a)
			}
		}
		again, err := a.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remains.ParseAnswer(again, "me-1", question()); err != nil {
			t.Fatal(err)
		}
	})
}
