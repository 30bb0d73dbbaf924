package stream_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"karaula/gateway/stream"
)

// A broker that fails between noting a message as deleted and overwriting it gives it
// no more, and is not believed, until it is started again.
func TestAnErasureThatFails(t *testing.T) {
	t.Parallel()
	b, log := open(t)
	if _, err := log.Append(t.Context(), msgs(1, 10), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := log.Erase(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.CanErase(t.Context()); err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(b.Dir(), "jetstream", "$G", "streams", "OUT_test", "msgs", "1.blk")
	inTheWay := block + ".tmp" // what it writes the block anew to
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := log.Erase(t.Context(), 5); err == nil {
		t.Fatal("it has not failed")
	}
	lies := func() bool {
		t.Helper()
		raw, err := os.ReadFile(block)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(raw, []byte("message 5"))
	}
	if _, there, err := log.Get(t.Context(), 5); there || err != nil || !lies() {
		t.Fatalf("the broker does not lie: given %v, %v; in the file %v", there, err, lies())
	}
	for range 2 {
		if err := log.CanErase(t.Context()); err == nil {
			t.Error("believed")
		}
	}
	if err := log.Erase(t.Context(), 5); err == nil {
		t.Error("erased again")
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	b.Restart() // and overwrites, if it is a node's own: package sweep
	log = stream.Open(b.JS, "OUT_test")
	if err := log.CanErase(t.Context()); err != nil {
		t.Errorf("after a start: %v", err)
	}
	if last, err := log.Append(t.Context(), msgs(11, 1), 10); err != nil || last != 11 {
		t.Errorf("the next one is %d, %v", last, err)
	}
}

// A stream without messages, and one from which all were erased, are no failure.
func TestCanEraseInAnEmptyStream(t *testing.T) {
	t.Parallel()
	_, log := open(t)
	if err := log.CanErase(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := log.Append(t.Context(), msgs(1, 1), 0); err != nil {
		t.Fatal(err)
	}
	if err := log.Erase(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if err := log.CanErase(t.Context()); err != nil {
		t.Error(err)
	}
}
