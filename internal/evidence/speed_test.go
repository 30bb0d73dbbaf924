package evidence_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/envelope"
	"karaula/internal/evidence"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// TestReplaySpeed replays a history of KARAULA_REPLAY statements from a file
// (make replay-speed), and compares its time with that of as many Ed25519
// verifications and SHA-256 on all processors.
func TestReplaySpeed(t *testing.T) {
	count, _ := strconv.Atoi(os.Getenv("KARAULA_REPLAY"))
	if count == 0 {
		t.Skip("KARAULA_REPLAY says how many statements")
	}
	debug.SetGCPercent(evidence.GCPercent)
	s := newScene(t)
	path := filepath.Join(t.TempDir(), "history")
	bytesEach := s.history(path, count)
	in := s.input("al", nil)
	var most uint64
	in.Pieces = func(yield func(evidence.Raw, error) bool) {
		readHistory(t, path, func(n int, raw []byte) bool {
			if n%max(count/50, 1) == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
			return yield(evidence.Raw{Data: raw}, nil)
		})
	}
	begin, cpu := time.Now(), cpuTime()
	r := s.replay(nil, in)
	took, busy := time.Since(begin), cpuTime()-cpu
	if r.Broken || r.Ledgers[0].Statements != uint64(count) {
		t.Fatalf("%+v %v", r.Ledgers[0], r.Findings)
	}
	cpu = cpuTime()
	floor := floorOf(count, bytesEach)
	least := cpuTime() - cpu
	t.Logf("%d statements of %d bytes, %d processors: %.0f a second, %.2f of the floor (%v to %v); by processor time %.2f (%v to %v); "+
		"at most %d MiB of heap in use", count, bytesEach, runtime.GOMAXPROCS(0), float64(count)/took.Seconds(),
		floor.Seconds()/took.Seconds(), floor, took, least.Seconds()/busy.Seconds(), least, busy, most>>20)
	if most > 128<<20 {
		t.Errorf("memory grows with the history: %d MiB", most>>20)
	}
}

// history writes a long ledger of al: alerts as they are after their content was
// erased, which costs a replay what the others do but for the content's digest.
func (s *scene) history(path string, count int) (each int) {
	t := s.T
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	v := s.voices["al"]
	first, err := envelope.ParseOuter(v.Clone().Say(vehicle()))
	if err != nil {
		t.Fatal(err)
	}
	key, _ := v.Card.Current(karaulav1.KeyUse_KEY_USE_SIGN)
	private, _ := v.Party.Gateway.SignKey(key.ID[:])
	for range count {
		s.Now = s.Now.Add(time.Millisecond)
		st, root := first.Statement, v.Tree.Root()
		st.Seq, st.PrevRoot, st.SaidAt = v.Tree.Size()+1, root[:], s.Now.UnixMicro()
		st.EraseAfter = s.Now.AddDate(0, 1, 0).UnixMicro()
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		env := &karaulav1.Envelope{Statement: raw, Signatures: []*karaulav1.Signature{{
			Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: key.ID[:], Sig: private.Sign(envelope.PAE(envelope.StatementType, raw)),
		}}}
		data, err := proto.Marshal(env)
		if err != nil {
			t.Fatal(err)
		}
		v.Tree.Append(envelope.Leaf(raw))
		if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)); err != nil {
			t.Fatal(err)
		}
		each = len(data)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return each
}

func readHistory(t *testing.T, path string, fn func(n int, raw []byte) bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close() //nolint:errcheck // read only
	r := bufio.NewReaderSize(f, 1<<20)
	for n := 0; ; n++ {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(r, raw); err != nil || !fn(n, raw) {
			return
		}
	}
}

// cpuTime is what the process has used of all processors: it does not depend on
// who else uses them.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// floorOf measures what cannot be avoided, on all processors.
func floorOf(count, size int) time.Duration {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	message := make([]byte, size)
	sig := ed25519.Sign(private, message)
	var all sync.WaitGroup
	begin := time.Now()
	workers := runtime.GOMAXPROCS(0)
	for i := range workers {
		all.Go(func() {
			for n := i; n < count; n += workers {
				sum := sha256.Sum256(message)
				if !ed25519.Verify(public, message, sig) || sum[0] == 0 && context.Background().Err() != nil {
					panic("a good signature is none")
				}
			}
		})
	}
	all.Wait()
	return time.Since(begin)
}

// BenchmarkCheckProof checks a proof, whole: with
// the statements and the card.
func BenchmarkCheckProof(b *testing.B) {
	s := newScene(b)
	s.talk(3)
	p := s.proofs()["inclusion"]
	root := s.roots()[:1]
	b.ReportMetric(float64(len(p.Marshal())), "bytes/file")
	for b.Loop() {
		if _, err := p.Check(root); err != nil {
			b.Fatal(err)
		}
	}
}
