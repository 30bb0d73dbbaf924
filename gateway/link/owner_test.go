package link

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"karaula/internal/card"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// testOwner answers from a few values, and is only asked by partner "me".
type testOwner struct {
	card []byte

	mu      sync.Mutex
	rewinds []string
	block   chan struct{} // Rewind waits for it, if set
	big     int           // size of an envelope; zero is 10 bytes
}

var testLedger = [32]byte{1, 2, 3}

// standing is a valid Standing.
func standing(serial uint64) *karaulav1.Standing {
	h := bytes.Repeat([]byte{7}, 32)
	return &karaulav1.Standing{
		Versions: []uint32{1}, CardSerial: serial, CardDigest: h, NoticeSerial: 2, Clock: 1,
		Agreements: []*karaulav1.AgreementStanding{{Id: channel, Version: 1, Digest: h, SignedBy: []string{"al", "me"}}},
		OwnHeads:   []*karaulav1.Head{{Ledger: testLedger[:], Epoch: 1, Size: 9, Root: h}},
	}
}

func (o *testOwner) Standing(string) *karaulav1.Standing { return standing(4) }

func (o *testOwner) Rewind(ctx context.Context, partner, ch string, epoch, from uint64,
) (*karaulav1.RewindReply, error) {
	o.mu.Lock()
	o.rewinds = append(o.rewinds, fmt.Sprint(partner, ch, epoch, from))
	o.mu.Unlock()
	if o.block != nil {
		select {
		case <-o.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if ch != channel {
		return nil, problem.New(problem.NotAllowed, "no party")
	}
	return &karaulav1.RewindReply{Epoch: epoch, FromSeq: from, LastSeq: 9}, nil
}

func (o *testOwner) CardFile(serial uint64) ([]byte, bool) { return o.card, serial < 2 }

func (o *testOwner) NoticeFiles(_ string, after uint64) [][]byte {
	return [][]byte{[]byte("one"), []byte("two"), []byte("three")}[after:]
}

func (o *testOwner) AgreementFile(_ string, d [32]byte) ([]byte, bool) {
	return []byte("agreement"), d == testLedger
}

func (o *testOwner) Envelopes(_ context.Context, _ string, ledger [32]byte, _, from, to uint64, most int, stub bool,
) ([][]byte, error) {
	if ledger != testLedger {
		return nil, problem.New(problem.NotAllowed, "no party")
	}
	size := max(10, o.big)
	var out [][]byte
	for n := from; n <= min(to, 9) && len(out) <= most/size; n++ {
		e := make([]byte, size)
		copy(e, fmt.Sprint(n, stub))
		out = append(out, e)
	}
	return out, nil
}

func (o *testOwner) Frontier(_ context.Context, _ string, ledger [32]byte, _, size uint64) ([][]byte, error) {
	if ledger != testLedger {
		return nil, problem.New(problem.Failed, "the disk is full of plates")
	}
	return [][]byte{bytes.Repeat([]byte{byte(size)}, 32), bytes.Repeat([]byte{1}, 32)}, nil
}

func (o *testOwner) TakeCard(partner string, file []byte) (uint64, error) {
	c, err := card.Open(file)
	if err != nil || c.Party != partner {
		return 0, problem.New(problem.Invalid, "no card of its own")
	}
	return c.Serial, nil
}
