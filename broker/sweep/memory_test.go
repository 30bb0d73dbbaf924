package sweep

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// limited makes a store in which a limit of the stream has deleted messages, without
// tombstones and without overwriting them, and stops the server. That is what also
// happens in a server of a cluster that was away when they were erased.
func limited(t testing.TB) *house {
	t.Helper()
	h := newHouse(t)
	for i := range 60 {
		h.send(1000+i, "")
	}
	_, err := h.js.UpdateStream(t.Context(), jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"out.>"}, MaxBytes: -1, Discard: jetstream.DiscardNew, AllowDirect: true, MaxMsgsPerSubject: 3,
	})
	must(t, err)
	h.send(2000, "")
	seen := map[string]int{}
	for seq := uint64(len(h.sent)); seq > 0; seq-- {
		m := h.sent[seq]
		if seen[m.subject]++; seen[m.subject] > 3 {
			h.gone[seq] = m
			delete(h.sent, seq)
		}
	}
	h.stop()
	return h
}

func TestDeletedWithoutATombstone(t *testing.T) {
	t.Parallel()
	h := limited(t)
	lying := len(h.holding())
	if lying == 0 {
		t.Fatal("nothing is left of them")
	}
	if r := h.swept(0); r.Unnoted != lying {
		t.Errorf("%+v, want %d", r, lying)
	}
	if files := h.holding(); len(files) > 0 {
		t.Errorf("still in %v", files)
	}
	h.check()
	if r := h.swept(0); r.Unnoted != 0 {
		t.Errorf("a second time: %+v", r)
	}
}

// What the server would not use is not used.
func TestMemoryThatDoesNotFit(t *testing.T) {
	t.Parallel()
	h := limited(t)
	path := filepath.Join(h.msgs(), stateFile)
	state, err := os.ReadFile(path)
	must(t, err)
	last := ""
	for file := range h.blocks() {
		if last == "" || indexOf(t, file) > indexOf(t, last) {
			last = file
		}
	}
	whole := h.blocks()[last]
	for name, spoil := range map[string]func() error{
		"turned bits": func() error {
			b := append([]byte(nil), state...)
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o600)
		},
		"cut off":  func() error { return os.WriteFile(path, state[:len(state)-1], 0o600) },
		"empty":    func() error { return os.WriteFile(path, nil, 0o600) },
		"a folder": func() error { return os.Mkdir(path, 0o700) },
		"older than the last block": func() error {
			return os.WriteFile(filepath.Join(h.msgs(), last), whole[:len(whole)-list(t, last, whole)[len(list(t, last, whole))-1].size], 0o600)
		},
		"older than a block": func() error {
			return os.WriteFile(filepath.Join(h.msgs(), fmt.Sprintf("%d.blk", indexOf(t, last)+1)), nil, 0o600)
		},
	} {
		must(t, os.RemoveAll(path))
		must(t, os.WriteFile(path, state, 0o600))
		must(t, os.WriteFile(filepath.Join(h.msgs(), last), whole, 0o600))
		if name == "a folder" {
			must(t, os.Remove(path))
		}
		must(t, spoil())
		before := h.blocks()
		if r := h.swept(0); r.Unnoted != 0 || !same(before, h.blocks()) {
			t.Errorf("%s: %+v", name, r)
		}
		must(t, os.RemoveAll(filepath.Join(h.msgs(), fmt.Sprintf("%d.blk", indexOf(t, last)+1))))
	}
}

// FuzzMemory reads any bytes as what a server remembers.
func FuzzMemory(f *testing.F) {
	h := limited(f)
	state, err := os.ReadFile(filepath.Join(h.msgs(), stateFile))
	must(f, err)
	body := state[2 : len(state)-sumSize]
	f.Add(body)
	f.Add(body[:len(body)-1])
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, body []byte) {
		m, last, end, err := parseBlocks(body)
		if err != nil {
			return
		}
		if len(end) != sumSize {
			t.Fatalf("ends with %x", end)
		}
		for block, r := range m {
			if r.first > 0 && !m.gone(block, r.first-1) {
				t.Fatalf("block %d has a message before its first one", block)
			}
			if r.deleted != nil {
				r.deleted.Range(func(seq uint64) bool { return m.gone(block, seq) })
			}
		}
		if _, known := m[last]; !known && m.gone(last, 1) {
			t.Fatal("something is gone of a block that is not known")
		}
	})
}
