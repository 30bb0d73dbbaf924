package inbox

import (
	"bytes"
	"testing"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// FuzzAuthenticated: of what lies in the verdict stream only the exact bytes that
// this gateway has marked count.
func FuzzAuthenticated(f *testing.F) {
	key := bytes.Repeat([]byte{7}, VerdictKeySize)
	genuine, err := authentic(key, &karaulav1.VerdictRecord{
		Ledger: make([]byte, 32), Epoch: 1, Judgements: []*karaulav1.Judgement{{Seq: 1}, {Seq: 2}},
	})
	if err != nil {
		f.Fatal(err)
	}
	if _, ok := authenticated(key, genuine); !ok {
		f.Fatal("its own record does not count")
	}
	f.Add(genuine)
	f.Add(genuine[:len(genuine)-1])
	f.Add(append(bytes.Clone(genuine), genuine...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, ok := authenticated(key, data); ok && !bytes.Equal(data, genuine) {
			t.Errorf("%x counts", data)
		}
	})
}
