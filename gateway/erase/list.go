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

// List is what lies where of one ledger. It is safe for concurrent use. What it does
// costs the logarithm of what it holds, so that years of alerts that come to their
// end in one night are no burden.
type List struct {
	mu      sync.Mutex
	all     map[border.Position]*entry
	waiting queue // messages whose time has not come, by it
	ready   queue // those whose time had come at the last look, by their place in the stream
	looked  int64 // time of that look, microseconds since 1970 UTC
	holding int
}

type entry struct {
	Item
	main    *message   // nil if the content is not there
	copies  []*message // further messages with the same statement
	ordered [][32]byte
	at      int64 // when it was erased, zero if it was not
}

const never = int64(1) << 62

// NewList makes an empty list.
func NewList() *List {
	return &List{
		all:     map[border.Position]*entry{},
		waiting: queue{less: func(a, b *message) bool { return a.due < b.due }},
		ready:   queue{less: func(a, b *message) bool { return a.streamSeq < b.streamSeq }},
	}
}

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

// due is when an entry is to be erased.
func (e *entry) due() int64 {
	switch {
	case len(e.copies) > 0 && e.at > 0, e.main != nil && slices.Contains(e.ordered, e.Leaf):
		return 0
	case e.main != nil || len(e.copies) > 0:
		return e.Due
	default:
		return never
	}
}

// changed puts the messages of an entry where they belong by now. Called with l.mu
// held, after every change of an entry.
func (l *List) changed(e *entry) {
	due := e.due()
	if e.main != nil {
		l.put(e.main, due)
	}
	for _, m := range e.copies {
		l.put(m, due)
	}
}

// put enters a message, or moves it.
func (l *List) put(m *message, due int64) {
	m.leave()
	if m.due = due; due <= l.looked {
		l.ready.add(m)
	} else {
		l.waiting.add(m)
	}
}

// lose notes that a message holds the content no more. Called with l.mu held.
func (l *List) lose(e *entry, streamSeq uint64) {
	if e.main != nil && e.main.streamSeq == streamSeq {
		l.drop(e)
	}
	e.copies = slices.DeleteFunc(e.copies, func(m *message) bool {
		if m.streamSeq != streamSeq {
			return false
		}
		m.leave()
		return true
	})
}

// drop takes an entry's own message out.
func (l *List) drop(e *entry) {
	if e.main != nil {
		e.main.leave()
		e.main = nil
		l.holding--
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
	l.drop(e)
	e.Item, e.main = it, &message{entry: e, streamSeq: it.StreamSeq}
	l.holding++
	l.changed(e)
}

// Gone enters a statement whose content is erased, at a time.
func (l *List) Gone(place border.Position, leaf [32]byte, at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(place)
	l.drop(e)
	e.Leaf, e.at = leaf, max(at, 1)
	l.changed(e)
}

// Copy enters a further message with a statement's content: the broker holds it
// twice, or has put back what was erased.
func (l *List) Copy(place border.Position, leaf [32]byte, streamSeq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.all[place]
	if e == nil || e.Leaf != leaf || slices.ContainsFunc(e.copies, func(m *message) bool { return m.streamSeq == streamSeq }) {
		return
	}
	e.copies = append(e.copies, &message{entry: e, streamSeq: streamSeq})
	l.changed(e)
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
	l.changed(e)
}

// Due gives what is to be erased by now, in the order of the stream, at most most.
func (l *List) Due(now time.Time, most int) []Item {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look(now.UnixMicro())
	first := l.ready.first(most)
	if len(first) == 0 {
		return nil
	}
	out := make([]Item, 0, len(first))
	for _, m := range first {
		it := m.entry.Item
		it.StreamSeq = m.streamSeq
		out = append(out, it)
	}
	return out
}

// look moves what has come to its time, and back again what has not, where the clock
// was set back.
func (l *List) look(at int64) {
	back := at < l.looked
	l.looked = at
	if back {
		for _, m := range slices.Clone(l.ready.list) {
			l.put(m, m.due)
		}
	}
	for len(l.waiting.list) > 0 && l.waiting.list[0].due <= at {
		l.put(l.waiting.list[0], l.waiting.list[0].due)
	}
}

// Done enters that an item is erased. It reports whether the statement's content
// was not counted as erased before.
func (l *List) Done(it Item, at int64) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(it.Position)
	l.lose(e, it.StreamSeq)
	first = e.at == 0
	if first {
		e.at = max(at, 1)
	}
	l.changed(e)
	return first
}

// Drop forgets a message that turned out to be another one.
func (l *List) Drop(it Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(it.Position)
	l.lose(e, it.StreamSeq)
	l.changed(e)
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

// Urgent reports whether something waits that was ordered, or whose time had come at
// the last look.
func (l *List) Urgent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ready.list) > 0
}

// Holding counts the statements whose content is there.
func (l *List) Holding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holding
}
