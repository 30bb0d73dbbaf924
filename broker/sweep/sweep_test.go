package sweep

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"karaula/internal/problem"
)

// swept sweeps, and checks what is reported.
func (h *house) swept(overwritten int) Report {
	h.t.Helper()
	r, err := Store(h.dir)
	must(h.t, err)
	if r.Overwritten != overwritten || len(r.Unread) > 0 || r.Streams == 0 || r.Blocks == 0 {
		h.t.Errorf("%+v, want %d overwritten", r, overwritten)
	}
	return r
}

// The blocks of a real server, of the version that is linked, are read to their ends,
// with headers, many subjects, tombstones in other blocks and messages larger than a
// block. If a new version writes them otherwise, this says so.
func TestBlocksOfARealServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 120 {
		h.send(100+i*37, []string{"", "x", "a longer one"}[i%3])
	}
	h.send(300_000, "large")
	for seq := uint64(5); seq < 100; seq += 3 {
		h.erase(seq)
	}
	h.send(10, "")
	h.stop()
	var messages, tombstones, erased, across int
	where := map[uint64]string{}
	blocks := h.blocks()
	for file, block := range blocks {
		for _, r := range list(t, file, block) {
			if !r.tombstone {
				where[r.seq] = file
			}
		}
	}
	for file, block := range blocks {
		for _, r := range list(t, file, block) {
			switch {
			case r.tombstone:
				tombstones++
				if where[r.seq] != file && where[r.seq] != "" {
					across++
				}
			case r.erased:
				erased++
			default:
				messages++
			}
		}
	}
	if messages != len(h.sent) || tombstones < len(h.gone) || erased == 0 || across == 0 || len(blocks) < 3 {
		t.Errorf("%d blocks: %d messages, %d tombstones (%d for other blocks), %d erased", len(blocks), messages, tombstones, across, erased)
	}
	before := h.blocks()
	h.swept(0)
	if after := h.blocks(); !same(before, after) {
		t.Error("a block was changed without need")
	}
	h.check()
}

func same(a, b map[string][]byte) bool {
	for file := range a {
		if !bytes.Equal(a[file], b[file]) {
			return false
		}
	}
	return len(a) == len(b)
}

// Whatever was deleted, in whatever order, and wherever the server was stopped between
// tombstone and overwriting: afterwards the content is gone, everything else is byte
// for byte what it was, and a real server reads it.
func TestStoppedBetweenTombstoneAndOverwriting(t *testing.T) {
	t.Parallel()
	var tried atomic.Int64
	t.Cleanup(func() {
		if tried.Load() < 30 {
			t.Errorf("only %d messages were tried", tried.Load())
		}
	})
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 41))
			h := newHouse(t)
			for range 60 + rng.IntN(60) {
				h.send(32+rng.IntN(6000), []string{"", "of a gateway"}[rng.IntN(2)])
			}
			before := h.blocks()
			var gone []uint64
			for seq := range h.sent {
				if rng.IntN(3) == 0 {
					gone = append(gone, seq)
				}
			}
			slices.Sort(gone)
			rng.Shuffle(len(gone), func(i, j int) { gone[i], gone[j] = gone[j], gone[i] })
			for _, seq := range gone {
				h.erase(seq)
				if rng.IntN(4) == 0 {
					h.send(32+rng.IntN(3000), "")
				}
			}
			state, err := os.ReadFile(filepath.Join(h.msgs(), stateFile))
			h.stop()
			if err == nil && rng.IntN(2) == 0 { // killed, it has not written it anew
				must(t, os.WriteFile(filepath.Join(h.msgs(), stateFile), state, 0o600))
			}
			clean := h.blocks()
			n := 0
			for _, seq := range gone[rng.IntN(len(gone)):] {
				if h.unerase(before, seq) {
					n++
				}
			}
			tried.Add(int64(n))
			if n > 0 && len(h.holding()) != n {
				t.Fatalf("%d are put back, in %v", n, h.holding())
			}
			h.swept(n)
			if files := h.holding(); len(files) > 0 {
				t.Errorf("still in %v", files)
			}
			h.alike(clean)
			h.swept(0)
			h.check()
			h.swept(0)
		})
	}
}

// alike compares the blocks with those in which everything was overwritten: but for
// random bytes and their checksums they are the same.
func (h *house) alike(clean map[string][]byte) {
	h.t.Helper()
	now := h.blocks()
	if len(now) != len(clean) {
		h.t.Errorf("%d blocks, want %d", len(now), len(clean))
	}
	for file, block := range now {
		for _, r := range list(h.t, file, block) {
			whole := r.size
			if r.erased {
				whole = headSize
			}
			if !bytes.Equal(block[r.at:r.at+whole], clean[file][r.at:r.at+whole]) {
				h.t.Errorf("%s: the record at %d, number %d, is another", file, r.at, r.seq)
			}
		}
	}
}

// A server that fails to overwrite, and is stopped in an orderly way, remembers the
// message as one that is there. Afterwards it does not count it any more.
func TestServerThatFailedToOverwrite(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 5 {
		h.send(400, "")
	}
	inTheWay := filepath.Join(h.msgs(), "1.blk.tmp")
	must(t, os.Mkdir(inTheWay, 0o700))
	s, err := h.js.Stream(t.Context(), streamName)
	must(t, err)
	if err := s.SecureDeleteMsg(t.Context(), 3); err == nil {
		t.Fatal("it has not failed")
	}
	h.gone[3] = h.sent[3]
	delete(h.sent, 3)
	h.stop()
	must(t, os.Remove(inTheWay))
	if len(h.holding()) != 1 {
		t.Fatalf("it lies in %v", h.holding())
	}
	h.swept(1)
	if files := h.holding(); len(files) > 0 {
		t.Errorf("still in %v", files)
	}
	h.check()
}

// A message that has the number of a deleted one, but not its time, is another.
func TestOnlyWhatTheTombstoneNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.send(100, "")
	h.send(100, "")
	before := h.blocks()
	h.erase(first)
	h.stop()
	delete(h.gone, first)
	h.unerase(before, first)
	block := h.blocks()["1.blk"]
	sum, err := blockHash(streamName, 1)
	must(t, err)
	r := list(t, "1.blk", block)[0]
	block[12]++ // its time
	binary.LittleEndian.PutUint64(block[r.size-sumSize:], checksum(sum, block[4:20], block[headSize:r.size-sumSize]))
	must(t, os.WriteFile(filepath.Join(h.msgs(), "1.blk"), block, 0o600))
	must(t, os.Remove(filepath.Join(h.msgs(), stateFile)))
	h.swept(0)
	if !bytes.Equal(h.blocks()["1.blk"], block) {
		t.Error("it was overwritten")
	}
}

// A message that was stored again, behind its tombstone, is not what the tombstone is
// about.
func TestStoredAgainBehindItsTombstone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.send(100, "")
	again := h.send(100, "")
	h.send(100, "")
	before := h.blocks()
	h.erase(again)
	h.stop()
	whole := list(t, "1.blk", before["1.blk"])[1]
	block := slices.Concat(h.blocks()["1.blk"], before["1.blk"][whole.at:whole.at+whole.size])
	must(t, os.WriteFile(filepath.Join(h.msgs(), "1.blk"), block, 0o600))
	h.swept(0)
	if !bytes.Equal(h.blocks()["1.blk"], block) {
		t.Error("it was overwritten")
	}
}

// What the server, or a sweep, was to put in a block's place is removed.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seq := h.send(500, "")
	h.send(500, "")
	left := h.blocks()["1.blk"]
	h.erase(seq)
	h.stop()
	for _, name := range []string{"1.blk.tmp", "2.new"} {
		must(t, os.WriteFile(filepath.Join(h.msgs(), name), left, 0o600))
	}
	other := filepath.Join(h.msgs(), "1.blk.tmp.of-an-operator")
	must(t, os.WriteFile(other, nil, 0o600))
	if r := h.swept(0); r.Leftovers != 2 {
		t.Errorf("%+v", r)
	}
	if files := h.holding(); len(files) > 0 {
		t.Errorf("still in %v", files)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	h.check()
}

// A real server does not remove them.
func TestServerKeepsLeftovers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.send(500, "")
	h.stop()
	left := filepath.Join(h.msgs(), "1.blk.tmp")
	must(t, os.WriteFile(left, nil, 0o600))
	h.start()
	h.stop()
	if _, err := os.Stat(left); err != nil {
		t.Errorf("it does: removing them is no longer needed: %v", err)
	}
}

// What cannot be read is left byte for byte, is told, and does not stop the rest. What
// verifies before a damage is overwritten.
func TestBlocksThatAreNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage      func([]byte) []byte
		overwritten int
	}{
		"cut off":      {func(b []byte) []byte { return b[:len(b)-5] }, 1},
		"turned bits":  {func(b []byte) []byte { b[len(b)-100] ^= 4; return b }, 1},
		"at the front": {func(b []byte) []byte { b[30] ^= 4; return b }, 0},
		"compressed":   {func(b []byte) []byte { return append([]byte("cmp\x02\x10"), b...) }, 0},
		"noise":        {func([]byte) []byte { return bytes.Repeat([]byte{0xfe}, 4000) }, 0},
		"too large":    {func([]byte) []byte { return make([]byte, maxBlock+1) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			seq := h.send(500, "")
			h.send(500, "")
			before := h.blocks()
			h.erase(seq)
			h.send(500, "")
			h.send(500, "")
			h.stop()
			h.unerase(before, seq)
			path := filepath.Join(h.msgs(), "1.blk")
			damaged := c.damage(h.blocks()["1.blk"])
			must(t, os.WriteFile(path, damaged, 0o600))
			r, err := Store(h.dir)
			must(t, err)
			if len(r.Unread) != 1 || r.Unread[0].File != path || r.Overwritten != c.overwritten {
				t.Errorf("%+v", r)
			}
			now := h.blocks()["1.blk"]
			if len(now) != len(damaged) {
				t.Fatalf("%d bytes, not %d", len(now), len(damaged))
			}
			from := 0
			if c.overwritten > 0 {
				from = list(t, "1.blk", before["1.blk"])[0].size
			}
			if !bytes.Equal(now[from:], damaged[from:]) {
				t.Error("it was changed")
			}
		})
	}
}

// A block that cannot be written anew is an error, and stays whole.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seq := h.send(500, "")
	h.send(500, "")
	before := h.blocks()
	h.erase(seq)
	h.stop()
	h.unerase(before, seq)
	left := h.blocks()["1.blk"]
	in := filepath.Join(h.msgs(), "1.blk.tmp") // a folder cannot be written to, nor removed while it holds something
	must(t, os.MkdirAll(filepath.Join(in, "x"), 0o700))
	if _, err := Store(h.dir); !problem.Is(err, problem.Failed) || problem.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if !bytes.Equal(h.blocks()["1.blk"], left) {
		t.Error("the block was changed")
	}
	must(t, os.RemoveAll(in))
	h.swept(1)
	h.check()
}

// Nothing is there before the first start.
func TestNoStore(t *testing.T) {
	t.Parallel()
	if r, err := Store(filepath.Join(t.TempDir(), "none")); err != nil || r.Streams != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
