package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// three makes a journal file of an open record and three batches, and gives
// where each record begins and where the last one ends.
func three(t testing.TB) (raw []byte, starts []int) {
	t.Helper()
	file := path(t)
	j := mustOpen(t, file)
	starts = []int{0}
	for _, n := range []int{1, 2, 1} {
		starts = append(starts, int(j.size))
		mustAppend(t, j, batch(t, j, n))
	}
	starts = append(starts, int(j.size))
	mustClose(t, j)
	return mustRead(t, file), starts
}

// TestTornTail: a file that ends anywhere within its last record is that file
// without the record, and goes on from there.
func TestTornTail(t *testing.T) {
	t.Parallel()
	raw, starts := three(t)
	last, end := starts[len(starts)-2], starts[len(starts)-1]
	for cut := last; cut < end; cut++ {
		file := path(t)
		mustWrite(t, file, raw[:cut])
		j := mustOpen(t, file)
		if j.State().Tree.Size() != 3 || j.size != int64(last) {
			t.Fatalf("cut at %d: %d statements in %d bytes", cut, j.State().Tree.Size(), j.size)
		}
		mustAppend(t, j, batch(t, j, 1))
		mustClose(t, j)
		if again := mustRead(t, file); !bytes.Equal(again[:last], raw[:last]) {
			t.Fatalf("cut at %d: older records were changed", cut)
		}
		again := mustOpen(t, file)
		if again.State().Tree.Size() != 4 {
			t.Fatalf("cut at %d: it did not go on", cut)
		}
		mustClose(t, again)
	}
}

// TestTornInOtherWays: after a power cut the file may have its new length and
// not its new bytes.
func TestTornInOtherWays(t *testing.T) {
	t.Parallel()
	raw, starts := three(t)
	last := starts[len(starts)-2]
	hole := bytes.Clone(raw)
	clear(hole[last+headerSize+10 : last+headerSize+50])
	for name, spoilt := range map[string][]byte{
		"zeros after the last record": append(bytes.Clone(raw[:last]), make([]byte, 4096)...),
		"a hole in the last record":   hole,
		"its last byte is another":    append(bytes.Clone(raw[:len(raw)-1]), raw[len(raw)-1]^1),
	} {
		file := path(t)
		mustWrite(t, file, spoilt)
		j := mustOpen(t, file)
		if j.State().Tree.Size() != 3 {
			t.Errorf("%s: %d statements are left, want 3", name, j.State().Tree.Size())
		}
		mustClose(t, j)
		if !bytes.Equal(mustRead(t, file), raw[:last]) {
			t.Errorf("%s: the file was not cut to its whole records", name)
		}
	}
}

// TestBlocksDidNotArrive: whichever blocks of the last record have reached the disk before
// the power failed, and wherever in a block it begins, it is torn, unless all have.
func TestBlocksDidNotArrive(t *testing.T) {
	t.Parallel()
	split := 0 // how often it was the header that lay in two blocks
	for size := range block {
		file := path(t)
		j := mustOpen(t, file)
		mustAppend(t, j, follow(t, j.State(), 1, 1+size))
		last := int(j.size)
		mustAppend(t, j, follow(t, j.State(), 1, 3*block))
		mustClose(t, j)
		if last%block > block-headerSize {
			split++
		}
		raw := mustRead(t, file)
		blocks := (len(raw)-1)/block - last/block + 1
		for arrived := range 1 << blocks {
			spoilt := bytes.Clone(raw)
			for i := range blocks {
				if from := max(last, (last/block+i)*block); arrived>>i&1 == 0 {
					clear(spoilt[from:min((last/block+i+1)*block, len(raw))])
				}
			}
			want := last
			if bytes.Equal(spoilt, raw) {
				want = len(raw)
			}
			c, err := replay(spoilt)
			if err != nil || c.size != int64(want) {
				t.Fatalf("it begins at byte %d of a block, and %b of %d blocks have arrived: %v", last%block, arrived, blocks, err)
			}
		}
	}
	if split < headerSize/2 {
		t.Errorf("the header lay in two blocks %d times", split)
	}
}

// TestABlockOfAnOlderRecordIsMissing: what had been synced before the next record was
// written is damaged, and not torn, also where all of a block is zero.
func TestABlockOfAnOlderRecordIsMissing(t *testing.T) {
	t.Parallel()
	file := path(t)
	j := mustOpen(t, file)
	last := 0
	for range 6 {
		last = int(j.size)
		mustAppend(t, j, follow(t, j.State(), 1, 2*block))
	}
	mustClose(t, j)
	raw := mustRead(t, file)
	for from := 0; from < last; from += block {
		spoilt := bytes.Clone(raw)
		clear(spoilt[from:min(from+block, last)])
		if c, err := replay(spoilt); err == nil && !bytes.Equal(spoilt, raw) {
			t.Errorf("zeros from byte %d on are not noticed; %d of %d bytes are taken", from, c.size, len(raw))
		}
	}
}

// TestFlippedBits: a bit that is flipped anywhere before the last record is
// found, and never taken for a torn tail.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	raw, starts := three(t)
	last := starts[len(starts)-2]
	for at := range last + headerSize {
		for bit := range 8 {
			raw[at] ^= 1 << bit
			c, err := replay(raw)
			raw[at] ^= 1 << bit
			// In the header of the last record only its own checksum may be
			// wrong without a sign of damage, or what stands in another block of
			// the disk than the rest: then it is a torn record.
			torn := (at >= last+8 || last%block > block-headerSize) && err == nil && c.size == int64(last)
			if err == nil && !torn {
				t.Fatalf("bit %d of byte %d: not found, %d bytes were taken", bit, at, c.size)
			}
		}
	}
}

// TestDamageIsLeftAlone: a damaged file is refused with the next step, and
// stays as it is for the repair.
func TestDamageIsLeftAlone(t *testing.T) {
	t.Parallel()
	raw, starts := three(t)
	flip := func(at int) []byte {
		b := bytes.Clone(raw)
		b[at] ^= 0x10
		return b
	}
	reframe := func(from, to int, more []byte) []byte {
		return append(append(bytes.Clone(raw[:from]), more...), raw[to:]...)
	}
	frame := func(r *karaulav1.JournalRecord) []byte {
		f, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	huge := make([]byte, headerSize)
	binary.BigEndian.PutUint32(huge, MaxRecord+1)
	binary.BigEndian.PutUint32(huge[4:], crc32.Checksum(huge[:4], castagnoli))
	confirmed := func(seq uint64) []byte {
		return frame(&karaulav1.JournalRecord{Record: &karaulav1.JournalRecord_Confirmed{
			Confirmed: &karaulav1.JournalConfirmed{Seq: seq},
		}})
	}
	for name, spoilt := range map[string][]byte{
		"nothing in it":                     {},
		"torn first record":                 raw[:20],
		"flipped in the middle":             flip(starts[2] + 40),
		"flipped length in the middle":      flip(starts[1] + 1),
		"a record is missing":               reframe(starts[1], starts[2], nil),
		"a record twice":                    reframe(starts[2], starts[2], raw[starts[1]:starts[2]]),
		"no open record":                    raw[starts[1]:],
		"two open records":                  reframe(starts[1], starts[1], raw[:starts[1]]),
		"a record that records nothing":     reframe(len(raw), len(raw), frame(&karaulav1.JournalRecord{})),
		"bytes behind it":                   append(bytes.Clone(raw), bytes.Repeat([]byte{7}, 40)...),
		"a record above the limit":          append(bytes.Clone(raw), huge...),
		"a confirmation of what was not":    append(bytes.Clone(raw), confirmed(5)...),
		"a confirmation that goes back":     append(append(bytes.Clone(raw), confirmed(3)...), confirmed(2)...),
		"an open record of another history": reframe(0, starts[1], frame(openRecord(grown(place()), nil))),
	} {
		file := path(t)
		mustWrite(t, file, spoilt)
		_, err := Open(file, place())
		if !problem.Is(err, problem.Verification) || !strings.Contains(problem.HintOf(err), "karaula ledger repair") {
			t.Errorf("%s: got %v, want a failed verification with its hint", name, err)
		}
		if !bytes.Equal(mustRead(t, file), spoilt) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// grown is a state with one more leaf.
func grown(s State) State {
	s.Tree.Append([32]byte{1})
	return s
}

// TestSyncedBeforeItReturns: nothing that was written waits for a sync, so a
// crash can only tear the last record.
func TestSyncedBeforeItReturns(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, path(t))
	f := &faulty{file: j.file}
	j.file = f
	before := j.size
	mustAppend(t, j, batch(t, j, 2))
	if f.unsynced != 0 || j.size == before {
		t.Errorf("%d bytes of a batch are not synced", f.unsynced)
	}
	before = j.size
	if err := j.Confirm(2, 8); err != nil { // another offset is written down
		t.Fatal(err)
	}
	if f.unsynced != 0 || j.size == before {
		t.Errorf("%d bytes of a confirmation are not synced", f.unsynced)
	}
}

// TestPoisoned: after a write or sync that failed nothing is signed any more,
// and the file opens again without the torn batch or with the whole of it.
func TestPoisoned(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(f *faulty){
		"write": func(f *faulty) { f.failWrite = true },
		"sync":  func(f *faulty) { f.failSync = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := path(t)
			j := mustOpen(t, file)
			mustAppend(t, j, batch(t, j, 1))
			f := &faulty{file: j.file}
			j.file = f
			fail(f)
			lost := batch(t, j, 1)
			if err := j.Append(lost); !problem.Is(err, problem.Failed) || problem.HintOf(err) == "" {
				t.Fatalf("got %v, want it failed, with a hint", err)
			}
			f.failWrite, f.failSync = false, false
			if j.State().Tree.Size() != 1 || j.Append(lost) == nil || j.Confirm(1, 9) == nil {
				t.Fatal("it goes on as if nothing had happened")
			}
			mustClose(t, j)
			again := mustOpen(t, file)
			switch again.State().Tree.Size() {
			case 1: // torn: nothing of it is there
			case 2:
				if name == "write" || !bytes.Equal(again.Pending()[1].Envelope, lost[0].Envelope) {
					t.Error("something else than the batch is there")
				}
			default:
				t.Errorf("%d statements are there", again.State().Tree.Size())
			}
			mustAppend(t, again, batch(t, again, 1))
		})
	}
}

// TestRotation: a large file is replaced by one that begins at what is
// confirmed and carries what is pending; nothing is lost on the way.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, left := range []uint64{0, 2} {
		file := path(t)
		j, err := open(file, place(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, file+".new", []byte("left over by a crash"))
		entries := follow(t, j.State(), 4, 500)
		mustAppend(t, j, entries)
		grownTo := j.size
		if err := j.Confirm(4-left, 11); err != nil { // a changed offset is written down, and so rotates
			t.Fatal(err)
		}
		if j.size >= grownTo {
			t.Errorf("%d pending: still %d bytes", left, j.size)
		}
		if _, err := os.Stat(file + ".new"); !os.IsNotExist(err) {
			t.Error("the temporary file is still there")
		}
		mustAppend(t, j, batch(t, j, 1))
		want := j.State()
		mustClose(t, j)
		again := mustOpen(t, file)
		pending := again.Pending()
		if !same(again.State(), want) || want.Tree.Size() != 5 ||
			uint64(len(pending)) != left+1 || again.Confirmed() != 4-left {
			t.Fatalf("%d pending: size %d, %d are pending", left, again.State().Tree.Size(), len(pending))
		}
		for i := range int(left) {
			if !bytes.Equal(pending[i].Envelope, entries[4-int(left)+i].Envelope) {
				t.Errorf("number %d has other bytes", pending[i].Seq)
			}
		}
		mustClose(t, again)
	}
}

// FuzzReplay: whatever a file holds, reading answers; what it takes goes on to
// be read as the same state.
func FuzzReplay(f *testing.F) {
	raw, starts := three(f)
	f.Add(raw)
	f.Add(raw[:starts[1]])
	f.Add(raw[:starts[3]+5])
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := replay(raw)
		if err != nil {
			return
		}
		again, err := replay(raw[:c.size])
		if err != nil || !same(c.state, again.state) || !same(c.base, again.base) || len(c.pending) != len(again.pending) {
			t.Fatalf("the whole records alone are another journal: %v", err)
		}
		if c.base.Tree.Size()+uint64(len(c.pending)) != c.state.Tree.Size() {
			t.Fatal("confirmed and pending do not add up to what was signed")
		}
	})
}
