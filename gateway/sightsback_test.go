package gateway

import (
	"testing"

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
