// Package bus tells everybody in a gateway who listens what just happened.
//
// It must never make the teller wait: a listener that doesn't keep up is cut
// off and told so. Events never carry content of alerts.
package bus

import (
	"strings"
	"sync"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The events, as watchers see them.
const (
	Sent        = "sent"          // an own alert is stored and on its way
	Accepted    = "accepted"      // a partner's alert passed the border check
	Refused     = "refused"       // a partner's statement was refused
	Held        = "held"          // a partner's statement waits for something
	Quarantined = "quarantined"   // bytes without a valid signature were put aside
	Replayed    = "replayed"      // a partner published again what has its place already
	Contested   = "contested"     // a partner has contradicted itself
	Histories   = "two-histories" // a partner has signed another history than the one that is here
	Epoch       = "epoch"         // a ledger goes on in a new epoch
	Delivered   = "delivered"     // a partner's receipt came in
	Act         = "act"           // people did something about an alert
	Due         = "due"           // a quarter of the time is left for what a party owes
	Overdue     = "overdue"       // the time is over
	Erased      = "erased"        // the content of an alert is erased here, or a partner says so
	Impostor    = "impostor"      // somebody speaks with an own key that is revoked
	Link        = "link"          // a link came up or went down
	Stock       = "stock"         // the own broker does not hold what was stored there
	Repudiated  = "repudiated"    // an accepted alert's origin has revoked the key that signed it
	Exercise    = "exercise"      // a party begins, prolongs or ends an exercise
	Notice      = "notice"        // an agreement was suspended, resumed, changed
	Silent      = "silent"        // a partner says nothing on a channel, though its link is up
	Heard       = "heard"         // a partner that was silent says something again
)

// Buffer is how many tellings a listener may be behind, each of one event or of
// all that follow from one receipt.
const Buffer = 4096

// Bus is safe for concurrent use. The zero value is ready.
type Bus struct {
	mu        sync.Mutex
	listeners map[*Listener]bool
}

// Listener receives events until it leaves or falls behind.
type Listener struct {
	// C gives the events, those that were told at once together; it is closed when
	// the listener left or fell behind. What it gives is everybody's, to read only.
	C      <-chan []*karaulav1.WatchResponse
	c      chan []*karaulav1.WatchResponse
	bus    *Bus
	behind bool
}

// Listen begins to receive events.
func (b *Bus) Listen() *Listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners == nil {
		b.listeners = map[*Listener]bool{}
	}
	c := make(chan []*karaulav1.WatchResponse, Buffer)
	l := &Listener{C: c, c: c, bus: b}
	b.listeners[l] = true
	return l
}

// Heard reports whether anybody listens: an event that nobody hears need not
// be made.
func (b *Bus) Heard() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.listeners) > 0
}

// Tell gives events to all listeners and never waits. However many they are, a
// listener is behind by one telling: nobody can read faster than one receipt
// answers a whole backlog.
func (b *Bus) Tell(events ...*karaulav1.WatchResponse) {
	if len(events) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.listeners {
		select {
		case l.c <- events:
		default:
			l.behind = true
			b.drop(l)
		}
	}
}

func (b *Bus) drop(l *Listener) {
	if b.listeners[l] {
		delete(b.listeners, l)
		close(l.c)
	}
}

// Leave ends a listener.
func (l *Listener) Leave() {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	l.bus.drop(l)
}

// Behind reports whether the listener was cut off because it did not keep up.
func (l *Listener) Behind() bool {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	return l.behind
}

// Drilled puts before the text of an event that nothing of it is meant.
func Drilled(mode karaulav1.Mode, exercise, text string) string {
	word := strings.ToUpper(terms.ModeWord(mode))
	if exercise != "" {
		word += " " + exercise
	}
	return word + ": " + text
}
