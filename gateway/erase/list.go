// Package erase erases the content of statements and keeps the statements: it
// knows of one ledger what content lies in which message of a stream and until
// when, and puts a stub in the stream of stubs before the message is overwritten
// (docs/spec/erasure.md).
//
// It must never overwrite a message of which no stub is kept, never touch a message
// that is not the statement it is meant to be, and never decide whose order counts:
// the border check does.
package erase

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"karaula/internal/border"
)

// Item is the content of one statement in one message.
type Item struct {
	Position  border.Position
	Leaf      [32]byte
	StreamSeq uint64 // in OUT or IN
	// Due is when it must be erased, microseconds since 1970 UTC.
	Due int64
}

// List is what lies where of one ledger. It is safe for concurrent use.
type List struct {
	mu   sync.Mutex
	all  map[border.Position]*entry
	next int64 // nothing is due before it
}

type entry struct {
	Item
	copies  []uint64 // further messages with the same statement
	holds   bool     // the content is there
	ordered [][32]byte
	at      int64 // when it was erased, zero if it was not
}

// lose notes that a message holds the content no more.
func (e *entry) lose(streamSeq uint64) {
	if e.holds && e.StreamSeq == streamSeq {
		e.holds = false
	}
	e.copies = slices.DeleteFunc(e.copies, func(seq uint64) bool { return seq == streamSeq })
}

const never = int64(1) << 62

// NewList makes an empty list.
func NewList() *List { return &List{all: map[border.Position]*entry{}, next: never} }

// entry gives the entry of a place, made if there is none. Called with l.mu held.
func (l *List) entry(at border.Position) *entry {
	e := l.all[at]
	if e == nil {
		e = &entry{}
		e.Position = at
		l.all[at] = e
	}
	return e
}

// due is when an entry is to be erased. Called with l.mu held.
func (e *entry) due() int64 {
	switch {
	case len(e.copies) > 0 && e.at > 0, e.holds && slices.Contains(e.ordered, e.Leaf):
		return 0
	case e.holds || len(e.copies) > 0:
		return e.Due
	default:
		return never
	}
}

// Hold enters content that lies in a stream; again, it may change when it is due.
func (l *List) Hold(it Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(it.Position)
	if e.at > 0 {
		return
	}
	e.Item, e.holds = it, true
	l.next = min(l.next, e.due())
}

// Gone enters a statement whose content is erased, at a time.
func (l *List) Gone(place border.Position, leaf [32]byte, at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(place)
	e.Leaf, e.holds, e.at = leaf, false, max(at, 1)
	l.next = min(l.next, e.due())
}

// Copy enters a further message with a statement's content: the broker holds it
// twice, or has put back what was erased.
func (l *List) Copy(place border.Position, leaf [32]byte, streamSeq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.all[place]
	if e == nil || e.Leaf != leaf || slices.Contains(e.copies, streamSeq) {
		return
	}
	e.copies = append(e.copies, streamSeq)
	l.next = min(l.next, e.due())
}

// Order has a statement erased now, if it is the one with this leaf; also one that
// is entered later.
func (l *List) Order(place border.Position, leaf [32]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(place)
	if !slices.Contains(e.ordered, leaf) {
		e.ordered = append(e.ordered, leaf)
	}
	l.next = min(l.next, e.due())
}

// Due gives what is to be erased by now, in the order of the stream, at most most.
func (l *List) Due(now time.Time, most int) []Item {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now.UnixMicro()
	if l.next > at {
		return nil
	}
	var out []Item
	l.next = never
	for _, e := range l.all {
		due := e.due()
		if due > at {
			l.next = min(l.next, due)
			continue
		}
		if e.holds {
			out = append(out, e.Item)
		}
		for _, seq := range e.copies {
			it := e.Item
			it.StreamSeq = seq
			out = append(out, it)
		}
	}
	if len(out) > 0 {
		l.next = 0 // until all of it is done
	}
	slices.SortFunc(out, func(a, b Item) int { return cmp.Compare(a.StreamSeq, b.StreamSeq) })
	return out[:min(len(out), most)]
}

// Done enters that an item is erased. It reports whether the statement's content
// was not counted as erased before.
func (l *List) Done(it Item, at int64) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(it.Position)
	e.lose(it.StreamSeq)
	first = e.at == 0
	if first {
		e.at = max(at, 1)
	}
	return first
}

// Drop forgets a message that turned out to be another one.
func (l *List) Drop(it Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(it.Position)
	e.lose(it.StreamSeq)
}

// Erased gives the leaf of a statement whose content is erased.
func (l *List) Erased(place border.Position) (leaf [32]byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.all[place]
	if e == nil || e.at == 0 {
		return leaf, false
	}
	return e.Leaf, true
}

// Urgent reports whether something waits for more than the end of its time.
func (l *List) Urgent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next == 0
}

// Holding counts the statements whose content is there.
func (l *List) Holding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.all {
		if e.holds {
			n++
		}
	}
	return n
}
