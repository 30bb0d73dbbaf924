package sweep

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// house is a real nats-server's store, and the server while it runs.
type house struct {
	t   testing.TB
	dir string
	srv *server.Server
	js  jetstream.JetStream
	nc  *nats.Conn

	sent map[uint64]message // by sequence; what was deleted is not in it
	gone map[uint64]message
}

type message struct {
	subject, header string
	data            []byte
}

const streamName = "OUT_b01-al-me"

// newHouse makes a store with one stream, of blocks as small as the server makes them.
func newHouse(t testing.TB) *house {
	t.Helper()
	return newHouseOf(t, 100_000)
}

// newHouseOf makes one with blocks as for a stream of a size (dynBlkSize), which then
// grows.
func newHouseOf(t testing.TB, size int64) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), sent: map[uint64]message{}, gone: map[uint64]message{}}
	h.start()
	c := jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"out.>"}, MaxBytes: size, Discard: jetstream.DiscardNew, AllowDirect: true,
	}
	_, err := h.js.CreateStream(t.Context(), c)
	must(t, err)
	c.MaxBytes = -1
	_, err = h.js.UpdateStream(t.Context(), c)
	must(t, err)
	t.Cleanup(h.stop)
	return h
}

func (h *house) start() {
	h.t.Helper()
	srv, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: h.dir, DontListen: true, NoLog: true, NoSigs: true,
	})
	must(h.t, err)
	srv.Start()
	if !srv.ReadyForConnections(time.Minute) {
		h.t.Fatal("the server does not start")
	}
	h.srv = srv
	h.nc, err = nats.Connect("", nats.InProcessServer(srv))
	must(h.t, err)
	h.js, err = jetstream.New(h.nc)
	must(h.t, err)
}

func (h *house) stop() {
	if h.srv != nil {
		h.nc.Close()
		h.srv.Shutdown()
		h.srv.WaitForShutdown()
		h.srv = nil
	}
}

// send stores random content.
func (h *house) send(size int, header string) uint64 {
	h.t.Helper()
	m := message{subject: fmt.Sprintf("out.%d", size%7), header: header, data: make([]byte, size)}
	_, _ = rand.Read(m.data)
	msg := &nats.Msg{Subject: m.subject, Data: m.data}
	if header != "" {
		msg.Header = nats.Header{"Karaula-Test": {header}}
	}
	ack, err := h.js.PublishMsg(h.t.Context(), msg)
	must(h.t, err)
	h.sent[ack.Sequence] = m
	return ack.Sequence
}

// erase has the server overwrite and delete.
func (h *house) erase(seq uint64) {
	h.t.Helper()
	s, err := h.js.Stream(h.t.Context(), streamName)
	must(h.t, err)
	must(h.t, s.SecureDeleteMsg(h.t.Context(), seq))
	h.gone[seq] = h.sent[seq]
	delete(h.sent, seq)
}

func (h *house) msgs() string {
	return filepath.Join(h.dir, "jetstream", "$G", "streams", streamName, "msgs")
}

// blocks reads all blocks, by file name.
func (h *house) blocks() map[string][]byte {
	h.t.Helper()
	out := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(h.msgs(), "*.blk"))
	must(h.t, err)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		must(h.t, err)
		out[filepath.Base(f)] = raw
	}
	return out
}

func indexOf(t testing.TB, file string) (index uint64) {
	t.Helper()
	_, err := fmt.Sscanf(file, "%d.blk", &index)
	must(t, err)
	return index
}

// list gives the records of a block, which must all verify.
func list(t testing.TB, file string, block []byte) []record {
	t.Helper()
	sum, err := blockHash(streamName, indexOf(t, file))
	must(t, err)
	var out []record
	if end := records(block, sum, func(r record) { out = append(out, r) }); end != len(block) {
		t.Fatalf("%s verifies to %d of %d", file, end, len(block))
	}
	return out
}

// unerase puts back what lay in a message's place before it was overwritten, as after
// a kill between tombstone and overwriting. False: the server has no place for it
// any more.
func (h *house) unerase(before map[string][]byte, seq uint64) bool {
	h.t.Helper()
	var whole []byte
	for file, block := range before {
		for _, r := range list(h.t, file, block) {
			if r.seq == seq && !r.erased && !r.tombstone {
				whole = block[r.at : r.at+r.size]
			}
		}
	}
	for file, block := range h.blocks() {
		for _, r := range list(h.t, file, block) {
			if r.seq == seq && r.erased && r.size == len(whole) {
				copy(block[r.at:], whole)
				must(h.t, os.WriteFile(filepath.Join(h.msgs(), file), block, 0o640)) //nolint:gosec // as the server
				return true
			}
		}
	}
	return false
}

// holding gives the files of the store that hold what was deleted.
func (h *house) holding() (files []string) {
	h.t.Helper()
	must(h.t, filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		for seq, m := range h.gone {
			if bytes.Contains(raw, m.data) {
				files = append(files, fmt.Sprintf("%s: %d", filepath.Base(path), seq))
			}
		}
		return err
	}))
	return files
}

// check starts a real server on the store, and looks at every message.
func (h *house) check() {
	h.t.Helper()
	h.start()
	defer h.stop()
	s, err := h.js.Stream(context.Background(), streamName)
	must(h.t, err)
	last := uint64(0)
	for seq := range h.sent {
		last = max(last, seq)
	}
	for seq := range h.gone {
		last = max(last, seq)
	}
	if state := s.CachedInfo().State; state.LastSeq != last || state.Msgs != uint64(len(h.sent)) {
		h.t.Errorf("the stream has %d messages up to %d, want %d up to %d", state.Msgs, state.LastSeq, len(h.sent), last)
	}
	for seq, want := range h.sent {
		got, err := s.GetMsg(context.Background(), seq)
		must(h.t, err)
		if got.Subject != want.subject || string(got.Data) != string(want.data) || got.Header.Get("Karaula-Test") != want.header {
			h.t.Errorf("message %d is another", seq)
		}
	}
	for seq := range h.gone {
		if _, err := s.GetMsg(context.Background(), seq); err == nil {
			h.t.Errorf("message %d is there", seq)
		}
	}
}
