package inbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Stored is a ledger as a stream holds it, read where nobody speaks or hears any more.
type Stored struct {
	Head *karaulav1.Head
	// Astray is how many messages lie there without a place.
	Astray int
}

// ReadStored reads a ledger from a stream and from the stubs of what was erased. Each
// statement is placed as when it came; nothing is judged, and nothing changed. What of
// it was lost shows by heads that others have signed. led is empty.
func ReadStored(
	ctx context.Context, led *border.Ledger, view *register.View, log *stream.Log, stubs erase.Stubs,
) (*Stored, error) {
	s := &storing{led: led, view: view, stubs: stubs, leaves: leaves{}}
	out := &Stored{}
	err := log.Read(ctx, 1, "", func(m stream.Stored) error {
		if led.Joined != ([32]byte{}) && led.Tree.Size() == 0 {
			if p, ok := envelope.Peek(m.Data); ok {
				led.Epoch = max(led.Epoch, p.Said.GetEpoch())
			}
		}
		kind := s.take(m.Data, m.Header)
		if kind != border.Next && kind != border.Known && s.fill() {
			kind = s.take(m.Data, m.Header)
		}
		if kind != border.Next && kind != border.Known {
			out.Astray++
		}
		return nil
	})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("stream %s: %w", log.Name(), err)
	}
	s.fill()
	root := led.Tree.Root()
	out.Head = &karaulav1.Head{Ledger: led.ID[:], Epoch: led.Epoch, Size: led.Tree.Size(), Root: root[:]}
	return out, nil
}

// storing implements [border.History] for what comes together.
type storing struct {
	led    *border.Ledger
	view   *register.View
	stubs  erase.Stubs
	leaves leaves
}

func (s *storing) take(raw []byte, h nats.Header) border.Kind {
	var place border.Checker
	s.led.Edge = edgeOf(h)
	p := place.Place(raw, s.view, s.led, s)
	if p.Kind != border.Next {
		return p.Kind
	}
	s.led.Advance(&p)
	s.leaves.add(&p)
	return p.Kind
}

// fill takes the stubs that follow, and reports whether there was any.
func (s *storing) fill() (found bool) {
	return fill(s.led, s.stubs, func(st erase.Stub) border.Kind { return s.take(st.Raw, st.Header) })
}

// LeafAt implements [border.History].
func (s *storing) LeafAt(epoch, seq uint64) ([32]byte, bool) {
	return s.leaves.leaf(epoch, seq)
}

// RootAt implements [border.History].
func (s *storing) RootAt(epoch, size uint64) ([32]byte, bool) {
	if s.leaves[epoch] == nil {
		return ledger.EmptyRoot(), size == 0
	}
	t, ok := s.leaves.tree(epoch, size)
	if !ok {
		return [32]byte{}, false
	}
	return t.Root(), true
}

// Accepted implements [border.History]; nothing here is judged.
func (s *storing) Accepted([16]byte, uint32) (border.Position, bool) { return border.Position{}, false }

// Before implements [border.History]; nothing here is judged.
func (s *storing) Before([16]byte, uint32) (border.Earlier, bool) { return border.Earlier{}, false }
