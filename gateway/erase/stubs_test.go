package erase_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const channel = "b01-al-me"

// shelf is the streams in which al's statements of a channel lie at me's.
type shelf struct {
	*erase.Eraser
	t    *testing.T
	leaf [32]byte
	raw  []byte
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	b := testbroker.Start(t)
	b.Stream(subject.InStream(subject.Actual(channel), "al"), subject.In(subject.Actual(channel), "al"))
	b.Stream(subject.StubStream, "stub.>")
	w := testworld.New(t, "al", "me")
	raw := w.Voice("al", w.Agree(w.Text(channel, []string{"al", "me"})), channel).Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_ALERT, Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE,
		Alert: testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE),
	})
	p, err := envelope.Parse(raw)
	must(t, err)
	return &shelf{&erase.Eraser{
		Channel: channel, Origin: "al", Log: stream.Open(b.JS, subject.InStream(subject.Actual(channel), "al")),
		Stubs: stream.Open(b.JS, subject.StubStream),
	}, t, p.Leaf, raw}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// store stores the statement once more, and gives where.
func (s *shelf) store(h nats.Header, end uint64) erase.Item {
	s.t.Helper()
	seq, err := s.Log.Append(s.t.Context(), []stream.Msg{{Subject: subject.In(subject.Actual(channel), "al"), Data: s.raw, Header: h}}, end)
	must(s.t, err)
	return erase.Item{Position: border.Position{Epoch: 1, Seq: 1}, Leaf: s.leaf, StreamSeq: seq}
}

// stub gives what is kept of it.
func (s *shelf) stub() erase.Stub {
	s.t.Helper()
	stub, ok, err := s.Stub(s.t.Context(), border.Position{Epoch: 1, Seq: 1}, s.leaf)
	must(s.t, err)
	if !ok {
		s.t.Fatal("no stub is kept")
	}
	return stub
}

// A statement that two gateways of a pair have stored lies in two messages, each with a tag
// of its own, and by both it is sought. Erasing it again keeps no stub more.
func TestAStubKeepsTheTagsOfAllMessages(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	var want [][]byte
	var items []erase.Item
	for i := range 3 {
		h := nats.Header{"Karaula-Edge": {"an edge (invented)"}, "Other": {"7"}}
		if i < 2 {
			erase.Tag(h)
			want = append(want, erase.TagsOf(h)...)
		}
		items = append(items, s.store(h, uint64(i)))
	}
	if len(want) != 2 || bytes.Equal(want[0], want[1]) {
		t.Fatalf("the tags are %q", want)
	}
	for i, it := range items {
		must(t, s.Erase(t.Context(), it))
		stub := s.stub()
		if got := erase.TagsOf(stub.Header); !slices.EqualFunc(got, want[:min(i+1, 2)], bytes.Equal) {
			t.Errorf("after %d messages, %d tags are kept", i+1, len(got))
		}
		if stub.Header.Get("Karaula-Edge") != "an edge (invented)" || stub.Header.Get("Other") != "" {
			t.Errorf("the header is %v", stub.Header)
		}
		if _, there, err := s.Log.Get(t.Context(), it.StreamSeq); err != nil || there {
			t.Errorf("message %d is there: %v", it.StreamSeq, err)
		}
	}
	_, before, err := s.Stubs.End(t.Context())
	must(t, err)
	for _, it := range items {
		must(t, s.Erase(t.Context(), it))
	}
	if _, last, err := s.Stubs.End(t.Context()); err != nil || last != before || before != 2 {
		t.Errorf("%d stubs, then %d: %v", before, last, err)
	}
}

// A stub keeps some tags and not more, and nothing that is none.
func TestAStubKeepsNoMoreTagsThanSome(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	end := uint64(0)
	for range erase.MaxTags + 3 {
		h := nats.Header{}
		erase.Tag(h)
		it := s.store(h, end)
		end = it.StreamSeq
		must(t, s.Erase(t.Context(), it))
	}
	if got := erase.TagsOf(s.stub().Header); len(got) != erase.MaxTags {
		t.Errorf("%d tags are kept", len(got))
	}
	short, long := base64.RawURLEncoding.EncodeToString(make([]byte, 35)), base64.RawURLEncoding.EncodeToString(make([]byte, 37))
	for _, no := range []string{"", "?", short, long} {
		if got := erase.TagsOf(nats.Header{"Karaula-Tag": {no}}); len(got) > 0 {
			t.Errorf("%q counts as a tag", no)
		}
	}
}

// What is largest goes into a message with everything that stands in its header, alone and
// in a batch.
func TestTheLargestMessageIsStored(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := nats.Header{"Karaula-Edge": {base64.StdEncoding.EncodeToString(testworld.Random(64 * 32))}}
	for range erase.MaxTags {
		one := nats.Header{}
		erase.Tag(one)
		h["Karaula-Tag"] = append(h["Karaula-Tag"], one.Get("Karaula-Tag"))
	}
	m := stream.Msg{Subject: subject.In(subject.Actual(channel), "al"), Data: testworld.Random(subject.MaxEnvelope), Header: h}
	end, err := s.Log.Append(t.Context(), []stream.Msg{m}, 0)
	must(t, err)
	if _, err = s.Log.Append(t.Context(), []stream.Msg{m, m}, end); err != nil {
		t.Error(err)
	}
}
