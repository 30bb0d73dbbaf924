package mac_test

import (
	"bytes"
	"testing"

	"karaula/gateway/mac"
)

func TestOnlyTheExactBytesCount(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, mac.KeySize)
	m := mac.Mark{Domain: "karaula/test/v1\x00", Field: 5}
	marked := m.Add(key, []byte("record"))
	if !m.Check(key, marked) {
		t.Fatal("the mark does not count")
	}
	if string(marked[:6]) != "record" || len(marked) != 6+2+32 {
		t.Errorf("marked: %x", marked)
	}
	for i := range marked {
		other := bytes.Clone(marked)
		other[i] ^= 1
		if m.Check(key, other) {
			t.Errorf("byte %d may be changed", i)
		}
	}
	for name, ok := range map[string]bool{
		"nothing":        m.Check(key, nil),
		"short":          m.Check(key, marked[7:]),
		"longer":         m.Check(key, append(bytes.Clone(marked), 0)),
		"another domain": mac.Mark{Domain: "karaula/other/v1\x00", Field: 5}.Check(key, marked),
		"another field":  mac.Mark{Domain: m.Domain, Field: 6}.Check(key, marked),
		"another key":    m.Check(bytes.Repeat([]byte{8}, mac.KeySize), marked),
		"no key":         m.Check(nil, m.Add(nil, []byte("record"))),
	} {
		if ok {
			t.Errorf("%s counts", name)
		}
	}
}
