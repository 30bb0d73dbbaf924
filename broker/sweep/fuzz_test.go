package sweep

import (
	"bytes"
	"hash"
	"testing"
)

// zero is a checksum that is always 0, so that the fuzzer gets behind it.
type zero struct{ hash.Hash64 }

func (zero) Sum64() uint64 { return 0 }

// FuzzBlock reads blocks of any bytes, with the real checksum and with one that the
// fuzzer can guess. Records lie one behind the other, and whatever is overwritten
// verifies afterwards, as the same message, erased.
func FuzzBlock(f *testing.F) {
	h := newHouse(f)
	gone := h.send(40, "with a header")
	h.send(3, "")
	h.erase(gone)
	h.stop()
	written := h.blocks()["1.blk"]
	f.Add(written, false)
	sum, err := blockHash(streamName, 1)
	must(f, err)
	guess := bytes.Clone(written)
	for _, r := range list(f, "1.blk", written) {
		copy(guess[r.at+r.size-sumSize:r.at+r.size], make([]byte, sumSize))
	}
	f.Add(guess, true)
	f.Add([]byte("cmp\x02\x10 and so on, long enough for a record"), false)
	f.Add(written[:len(written)-3], false)
	f.Fuzz(func(t *testing.T, block []byte, easy bool) {
		h := sum
		if easy {
			h = zero{sum}
		}
		var all []record
		next := 0
		end := records(block, h, func(r record) {
			if r.at != next || r.size < emptySize {
				t.Fatalf("a record of %d bytes at %d, behind %d", r.size, r.at, next)
			}
			next += r.size
			all = append(all, r)
		})
		if end != next || end > len(block) {
			t.Fatalf("ends at %d, want %d of %d", end, next, len(block))
		}
		tail := bytes.Clone(block[end:])
		for _, r := range all {
			overwrite(block, r, h)
		}
		i := 0
		if again := records(block[:end], h, func(r record) {
			if want := all[i]; r.at != want.at || r.size != want.size || r.seq != want.seq || !r.erased || r.time != 0 {
				t.Fatalf("%+v became %+v", want, r)
			}
			i++
		}); again != end || i != len(all) || !bytes.Equal(tail, block[end:]) {
			t.Fatalf("%d of %d records, to %d of %d", i, len(all), again, end)
		}
	})
}
