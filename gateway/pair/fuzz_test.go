package pair

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// FuzzRecord reads what claims to be a record, marked or not. Whatever is taken
// has entries in order, and fits a journal or does not, without a crash.
func FuzzRecord(f *testing.F) {
	w := testworld.New(f, "al", "me")
	v := w.Voice("al", w.Agree(w.Text(channelID, []string{"al", "me"})), channelID)
	at := journal.State{Ledger: v.ID, Channel: channelID, Epoch: 1, Tree: &ledger.Tree{}}
	raw := v.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT})
	for _, entries := range [][]journal.Entry{nil, {{Seq: 1, Envelope: raw, Token: "heartbeat"}}} {
		r, _ := newRecord(at, entries)
		seed, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r karaulav1.PairRecord
		if proto.Unmarshal(data, &r) != nil {
			return
		}
		b, err := readBase(&r)
		if err != nil {
			return
		}
		for i, e := range b.entries {
			if e.Seq != b.entries[0].Seq+uint64(i) {
				t.Fatalf("entry %d has number %d", i, e.Seq)
			}
		}
		b.continues(at)
		b.after(at.Tree.Size())
	})
}
