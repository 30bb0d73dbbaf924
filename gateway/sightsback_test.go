package gateway

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// What is kept while reading back goes down, is bounded whatever a partner signs, and
// names the first statement that carries a head.
func TestReadBackIsBounded(t *testing.T) {
	t.Parallel()
	s := &sight{}
	said := func(seq, size uint64) {
		s.readBack(signed{head: &karaulav1.Head{Epoch: 1, Size: size, Root: []byte{byte(size)}}, seq: seq})
	}
	for i := range uint64(1000) {
		said(i, 2000-i)
	}
	if len(s.back) != backLimit || s.back[0].head.GetSize() != 2000 || s.back[backLimit-1].head.GetSize() != 1001 {
		t.Fatalf("%d: %v", len(s.back), s.back)
	}
	said(1000, 1500) // speaks for what is not higher
	said(1001, 1500)
	if last := s.back[len(s.back)-1]; last.seq != 1000 || last.head.GetSize() != 1500 {
		t.Errorf("%v", last)
	}
	if said(1002, 3000); len(s.back) != 1 {
		t.Errorf("%v", s.back)
	}
}

// What waited for the ledger that it is about, or is read back, is compared late: what
// was said after it counts.
func TestWhatIsComparedLateWasSaidBefore(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	for range 3 {
		h.says("me")
	}
	c, w := h.channel(), witness{"xk", "me"}
	truth := c.headOf("me")
	lie := proto.CloneOf(truth)
	lie.Size, lie.Root = 2, bytes.Repeat([]byte{7}, 32)
	for i, step := range []struct {
		head  *karaulav1.Head
		seq   uint64
		named int
	}{{lie, 9, 1}, {truth, 5, 1}, {truth, 10, 0}, {lie, 8, 0}, {lie, 11, 1}} {
		c.weigh(w, signed{head: step.head, epoch: 1, seq: step.seq}, c.relate("me", step.head))
		if got := len(c.differences()); got != step.named {
			t.Errorf("step %d: %d are named, want %d", i, got, step.named)
		}
	}
}
