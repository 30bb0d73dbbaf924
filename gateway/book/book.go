// Package book is what a gateway knows of its alerts right now: which were said
// and received, where they stand, and how far each of its own got at each
// recipient. It is a projection in memory that can be thrown away: the streams
// hold the truth, and a start reads them again.
//
// It must never hold the content of an alert, and never be asked whether
// something happened: only the streams and the journal know that.
package book

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	"karaula/internal/border"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Entry is one alert statement, sent or received.
type Entry struct {
	Ledger    ledger.ID
	Channel   string
	Mode      karaulav1.Mode
	Origin    string
	Epoch     uint64
	Seq       uint64
	Leaf      [32]byte
	StreamSeq uint64 // in the node's own OUT or IN stream
	SaidAt    int64  // microseconds since 1970 UTC
	Type      karaulav1.AlertType
	Thread    []byte
	Class     karaulav1.VerdictClass // of received ones
	Code      karaulav1.Code         // of received ones
	Agreement [32]byte
	Signer    [16]byte // id of the key that signed it
	// Repudiated: it was accepted, and its origin has since revoked the key from
	// an earlier number on.
	Repudiated bool
	Readers    []string // of own ones: who must answer
	Void       bool     // a later epoch of its origin does not count it

	Commitment [32]byte   // of the frame of its main part
	EraseAfter int64      // microseconds since 1970 UTC
	Answers    [][32]byte // leaves of the statements that it answers

	// Opened is set where the content could be opened; only then the following hold.
	Opened     bool
	ID         [16]byte
	Version    uint32
	Urgency    string
	Lifecycle  karaulav1.Lifecycle
	Supersedes [32]byte // commitment of the version before
	About      [16]byte // the alert that a hit is on, the request that is answered
	ReplyDue   int64    // microseconds since 1970 UTC; zero: never; of an answer: until when it is deferred
	ReviewDue  int64    // likewise
	FalseHit   bool     // a hit that was none
	Handling   karaulav1.Handling
	Descent    *karaulav1.Descent // where it comes from, if it was passed on
	Expires    int64              // when its life ends by its own word, microseconds since 1970 UTC
	Stage      karaulav1.PatrolStage
	// Act is set in an act, without its remark; ID and Version are the alert's.
	Act *karaulav1.Act
	// Exercise is the name of the one that it was said in; empty in what is meant.
	Exercise string
}

// Meant reports whether police may act on it: it was said in no exercise and no test.
func (e *Entry) Meant() bool { return e.Mode == karaulav1.Mode_MODE_ACTUAL }

// Ref names the entry's statement in another one.
func (e *Entry) Ref() *karaulav1.Ref {
	return &karaulav1.Ref{Ledger: e.Ledger[:], Epoch: e.Epoch, Seq: e.Seq, Digest: e.Leaf[:]}
}

// Refused reports whether the entry does not count: it was refused at the border, or
// a later epoch of its origin has made it void.
func (e *Entry) Refused() bool {
	return e.Void || e.Class == karaulav1.VerdictClass_VERDICT_CLASS_REFUSED
}

// version is what must never come twice on one ledger.
type version struct {
	ledger  ledger.ID
	id      [16]byte
	version uint32
}

// epoch is one epoch of a ledger.
type epoch struct {
	ledger ledger.ID
	number uint64
}

// Book is safe for concurrent use.
type Book struct {
	mu       sync.RWMutex
	entries  []*Entry // by the time they were said, once List has sorted them
	byID     map[[16]byte][]*Entry
	acts     map[[16]byte][]*Entry // acts about an alert
	about    map[[16]byte][]*Entry // hits and answers about an alert or request
	versions map[version]*Entry
	byLeaf   map[[32]byte]*Entry
	progress map[place]*progress
	own      map[ledger.ID][]*Entry // ascending by epoch and number
	ends     map[epoch]uint64       // of epochs that are over, the last number that counts
	filling  int
	orders   map[[32]byte]bool // leaves of these
	ordered  map[at]bool       // statements that their origin has ordered to be erased
	erased   map[at]int64      // statements whose content is erased here, and when
	unsorted bool              // entries are not in the order of their times
}

// New makes an empty book.
func New() *Book {
	return &Book{
		byID:     map[[16]byte][]*Entry{},
		acts:     map[[16]byte][]*Entry{},
		about:    map[[16]byte][]*Entry{},
		versions: map[version]*Entry{},
		byLeaf:   map[[32]byte]*Entry{},
		progress: map[place]*progress{},
		own:      map[ledger.ID][]*Entry{},
		ordered:  map[at]bool{},
		orders:   map[[32]byte]bool{},
		erased:   map[at]int64{},
		ends:     map[epoch]uint64{},
	}
}

// Fill marks the beginning of a read-back; the returned function ends it. While
// any is going on, lists are not complete.
func (b *Book) Fill() (done func()) {
	b.mu.Lock()
	b.filling++
	b.mu.Unlock()
	return sync.OnceFunc(func() {
		b.mu.Lock()
		b.filling--
		b.mu.Unlock()
	})
}

// Complete reports whether everything that the streams hold has been read.
func (b *Book) Complete() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.filling == 0
}

// Add enters an alert. The same statement again changes nothing but its place in
// the stream, which may have been filled anew.
func (b *Book) Add(e Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end, over := b.ends[epoch{e.Ledger, e.Epoch}]
	e.Void = over && e.Seq > end
	if old := b.byLeaf[e.Leaf]; old != nil { // its channel is read back again
		old.StreamSeq = e.StreamSeq
		if e.Opened && !old.Opened {
			*old = e
			b.open(old)
		}
		return
	}
	b.byLeaf[e.Leaf] = &e
	if e.Opened {
		b.open(&e)
	}
	if len(e.Readers) > 0 {
		b.own[e.Ledger] = append(b.own[e.Ledger], &e)
	}
	if n := len(b.entries); n > 0 && b.entries[n-1].SaidAt > e.SaidAt {
		b.unsorted = true
	}
	b.entries = append(b.entries, &e)
}

// open enters what was sealed in an entry. Called with b.mu held.
func (b *Book) open(e *Entry) {
	b.accept(e)
	b.byID[e.ID] = append(b.byID[e.ID], e)
	if e.About != [16]byte{} {
		b.about[e.About] = append(b.about[e.About], e)
	}
}

// accept remembers the place of a version that counts. Called with b.mu held.
func (b *Book) accept(e *Entry) {
	key := version{e.Ledger, e.ID, e.Version}
	if b.versions[key] == nil && !e.Void && e.Class != karaulav1.VerdictClass_VERDICT_CLASS_REFUSED {
		b.versions[key] = e
	}
}

// End notes that a ledger's epoch is over and counts up to a number: alerts
// beyond it are void, and what they said may be said again. It gives how many
// there are.
func (b *Book) End(led ledger.ID, number, last uint64) (void int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends[epoch{led, number}] = last
	for _, e := range b.entries {
		if e.Ledger != led || e.Epoch != number || e.Seq <= last {
			continue
		}
		e.Void = true
		void++
		if key := (version{led, e.ID, e.Version}); e.Opened && b.versions[key] == e {
			delete(b.versions, key)
		}
	}
	return void
}

// Accepted gives the place at which this version of this alert was accepted on
// a ledger.
func (b *Book) Accepted(led ledger.ID, id [16]byte, ver uint32) (border.Position, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	e := b.versions[version{led, id, ver}]
	if e == nil {
		return border.Position{}, false
	}
	return border.Position{Epoch: e.Epoch, Seq: e.Seq}, true
}

// Before gives what is remembered of the highest version of an alert below one that
// counts on a ledger; false if there is none.
func (b *Book) Before(led ledger.ID, id [16]byte, ver uint32) (border.Earlier, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var best *Entry
	for _, e := range b.byID[id] {
		if e.Ledger == led && e.Version < ver && !e.Refused() && !e.Repudiated && (best == nil || e.Version > best.Version) {
			best = e
		}
	}
	if best == nil {
		return border.Earlier{}, false
	}
	return best.earlier(), true
}

func (e *Entry) earlier() border.Earlier {
	out := border.Earlier{Past: alert.Past{Type: e.Type, Lifecycle: e.Lifecycle, Stage: e.Stage}, Descent: e.Descent}
	if e.Expires != 0 {
		out.Expires = time.UnixMicro(e.Expires)
	}
	return out
}

// Find gives the statements about an alert, oldest first.
func (b *Book) Find(id [16]byte) []Entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]Entry, 0, len(b.byID[id]))
	for _, e := range b.byID[id] {
		out = append(out, *e)
	}
	return out
}

// Repudiate marks what an origin said for which the function says so, and gives
// the alerts that were not marked before. Refused ones are left alone.
func (b *Book) Repudiate(origin string, is func(Entry) bool) []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Entry
	counts := func(e *Entry) bool { return e.Origin == origin && !e.Repudiated && !e.Refused() && is(*e) }
	for _, e := range b.entries {
		if counts(e) {
			e.Repudiated = true
			out = append(out, *e)
		}
	}
	for _, acts := range b.acts {
		for _, e := range acts {
			e.Repudiated = e.Repudiated || counts(e)
		}
	}
	return out
}

// AnyExercise selects what was said in any exercise.
const AnyExercise = "*"

// Filter selects entries; zero fields select everything.
type Filter struct {
	Channel string
	Type    karaulav1.AlertType
	Since   int64
	Limit   int
	// Exercise selects by name; "*" selects any.
	Exercise string
}

func (f Filter) match(e *Entry) bool {
	return (f.Channel == "" || e.Channel == f.Channel) && (f.Type == 0 || e.Type == f.Type) && e.SaidAt >= f.Since &&
		(f.Exercise == "" || f.Exercise == AnyExercise || e.Exercise == f.Exercise)
}

// List gives entries, those said last first.
func (b *Book) List(f Filter) []Entry {
	b.mu.Lock()
	if b.unsorted {
		slices.SortStableFunc(b.entries, func(x, y *Entry) int { return cmp.Compare(x.SaidAt, y.SaidAt) })
		b.unsorted = false
	}
	b.mu.Unlock()
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []Entry
	for _, e := range slices.Backward(b.entries) {
		if f.Limit > 0 && len(out) == f.Limit {
			break
		}
		if f.match(e) {
			out = append(out, *e)
		}
	}
	return out
}

// Row gives an entry as the API shows it, with deliveries if it is an own one.
func (b *Book) Row(e Entry) *karaulav1.AlertRow {
	row := &karaulav1.AlertRow{
		Version: e.Version, Type: e.Type, Channel: e.Channel, Origin: e.Origin, SaidAt: e.SaidAt,
		Epoch: e.Epoch, Seq: e.Seq, Class: e.Class, Code: e.Code, Digest: e.Leaf[:], Thread: e.Thread, Urgency: e.Urgency,
		Repudiated: e.Repudiated, Lifecycle: e.Lifecycle, ErasedAt: b.ErasedAt(e), Void: e.Void, EraseAfter: e.EraseAfter,
		Handling: e.Handling, Descent: e.Descent,
		Drill: !e.Meant(), Exercise: e.Exercise,
	}
	if e.Opened {
		row.AlertId = IDText(e.ID)
	}
	for _, p := range e.Readers {
		row.Deliveries = append(row.Deliveries, b.delivery(&e, p))
	}
	return proto.CloneOf(row)
}
