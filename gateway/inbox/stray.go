package inbox

import (
	"bytes"
	"sync"

	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
)

// maxStrays bounds how many statements are waited for of which there is a copy.
const maxStrays = 10 * stream.MaxBatch

// strays are messages that stand where this gateway was about to append and that
// are not what it wanted there: what the other gateway of a pair had sent to the
// broker before it lost its turn, or junk. Those that hold a statement of the
// ledger are copies, and their content is erased with it.
type strays struct {
	mu sync.Mutex
	at map[[32]byte][]uint64 // stream sequences, by leaves that are not judged yet
}

// stray looks at bytes that this gateway did not store.
func (b *Inbox) stray(m stream.Stored) {
	b.cfg.Logger.Warn("stepped over bytes that this gateway did not store", "stream", b.cfg.In.Name(), "stream_seq", m.Seq)
	p, ok := envelope.Peek(m.Data)
	if !ok || !bytes.Equal(p.Said.GetLedger(), b.led.ID[:]) {
		return
	}
	at := border.Position{Epoch: p.Said.GetEpoch(), Seq: p.Said.GetSeq()}
	if leaf, known := b.LeafAt(at.Epoch, at.Seq); known {
		if leaf == p.Leaf {
			b.copied(at, leaf, m.Seq)
		}
		return
	}
	b.strays.mu.Lock()
	defer b.strays.mu.Unlock()
	if len(b.strays.at) < maxStrays {
		b.strays.at[p.Leaf] = append(b.strays.at[p.Leaf], m.Seq)
	}
}

// claim says that a statement is judged: its copies are no strays any more.
func (b *Inbox) claim(p *border.Placement) {
	b.strays.mu.Lock()
	at := b.strays.at[p.Leaf]
	delete(b.strays.at, p.Leaf)
	b.strays.mu.Unlock()
	for _, seq := range at {
		b.copied(p.Position, p.Leaf, seq)
	}
}

func (b *Inbox) copied(at border.Position, leaf [32]byte, streamSeq uint64) {
	b.cfg.Stored.Put(streamSeq)
	b.ErasedAgain(at)
	if b.cfg.OnCopy != nil {
		b.cfg.OnCopy(at, leaf, streamSeq)
	}
}
