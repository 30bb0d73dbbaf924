package evidence

import (
	"context"
	"iter"
	"math"
	"runtime"
	"sync"

	"karaula/internal/border"
	"karaula/internal/register"
)

// Raw is bytes as a store holds them.
type Raw struct {
	Data []byte
	// Where they lie in their store: the sequence in a stream, a name in a file.
	Where string
}

// Pieces gives what a store holds of one ledger, in its order. An error ends it.
type Pieces = iter.Seq2[Raw, error]

// A chunk is as many pieces as one worker reads at once.
const (
	chunkPieces = 128
	chunkBytes  = 1 << 20
	chunksAhead = 4 // of one ledger
)

// chunk is some pieces of one ledger; they are read when done is closed.
type chunk struct {
	raws   []Raw
	pieces []*border.Piece
	err    error
	done   chan struct{}
}

// readers read pieces and check their signatures on all processors.
type readers struct {
	view *register.View
	work chan *chunk
	all  sync.WaitGroup
}

func newReaders(ctx context.Context, view *register.View) *readers {
	r := &readers{view: view, work: make(chan *chunk)}
	for range runtime.GOMAXPROCS(0) {
		r.all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case c := <-r.work:
					c.read(r.view)
				}
			}
		})
	}
	return r
}

func (c *chunk) read(view *register.View) {
	c.pieces = make([]*border.Piece, len(c.raws))
	for i, raw := range c.raws {
		c.pieces[i] = border.ReadPiece(raw.Data)
		c.pieces[i].CheckSignatures(view)
	}
	close(c.done)
}

// feed gives the pieces of one ledger in their order, read.
type feed struct {
	chunks chan *chunk
	now    *chunk
	at     int
}

// feed begins to read a ledger ahead.
func (r *readers) feed(ctx context.Context, pieces Pieces) *feed {
	f := &feed{chunks: make(chan *chunk, chunksAhead)}
	r.all.Go(func() {
		defer close(f.chunks)
		c, size := newChunk(), 0
		hand := func() bool {
			for _, to := range []chan *chunk{r.work, f.chunks} {
				select {
				case to <- c:
				case <-ctx.Done():
					return false
				}
			}
			c, size = newChunk(), 0
			return true
		}
		for raw, err := range pieces {
			if err != nil {
				c.err = err
				break
			}
			c.raws = append(c.raws, raw)
			if size += len(raw.Data); len(c.raws) < chunkPieces && size < chunkBytes {
				continue
			}
			if !hand() {
				return
			}
		}
		hand()
	})
	return f
}

func newChunk() *chunk { return &chunk{done: make(chan struct{})} }

// peek gives the next piece, nil at the end.
func (f *feed) peek(ctx context.Context) (*Raw, *border.Piece, error) {
	for {
		if f.now != nil && f.at < len(f.now.raws) {
			return &f.now.raws[f.at], f.now.pieces[f.at], nil
		}
		if f.now != nil && f.now.err != nil {
			return nil, nil, f.now.err
		}
		c, ok := <-f.chunks
		if !ok {
			return nil, nil, ctx.Err() //nolint:wrapcheck // the caller's own context
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err() //nolint:wrapcheck // the caller's own context
		}
		f.now, f.at = c, 0
	}
}

// step goes on to the next piece.
func (f *feed) step() {
	f.now.raws[f.at], f.now.pieces[f.at] = Raw{}, nil // what is done may go
	f.at++
}

// saidAt is when a piece says that it was said. What says nothing comes first.
func saidAt(p *border.Piece) int64 {
	if st := p.Statement(); st != nil {
		return st.GetSaidAt()
	}
	return math.MinInt64
}
