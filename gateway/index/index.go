package index

import (
	"slices"
	"sync"
	"time"

	"karaula/internal/ledger"
	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Place says in which ledger an alert was said.
type Place struct {
	Ledger  ledger.ID
	Channel string
	Origin  string
}

// Entry is one version of an alert with the terms by which it is found.
type Entry struct {
	Place
	ID         [16]byte // alert id
	Version    uint32
	Type       karaulav1.AlertType
	Urgency    karaulav1.Urgency
	EraseAfter int64 // microseconds since 1970 UTC: found until then
	// Withdrawn: it is found no more.
	Withdrawn bool
	Terms     []HashedTerm
}

// HashedTerm is a term without its value.
type HashedTerm struct {
	Kind searchkey.Kind
	Hash Hash
}

// Index finds current alerts by hashed terms. It is safe for concurrent use.
type Index struct {
	hasher *Hasher

	mu     sync.RWMutex
	places []Place
	byID   map[ledger.ID]uint32 // of places
	slots  map[alertKey]uint32
	alerts []slot
	heads  map[Hash]uint32 // 1 + the newest posting of a hash
	posts  []posting
	dead   int // slots that nothing is found by any more
}

// alertKey is an alert in one ledger: another party may use the same id.
type alertKey struct {
	place uint32
	id    [16]byte
}

// slot is the current version of an alert.
type slot struct {
	id         [16]byte
	eraseAfter int64
	place      uint32
	version    uint32
	typ        karaulav1.AlertType
	urgency    karaulav1.Urgency
	gone       bool // superseded, withdrawn or erased
	withdrawn  bool // for good
}

// posting is one alert that has a term; postings of one hash are a list.
type posting struct {
	slot uint32
	next uint32 // 1 + the next older posting
	kind searchkey.Kind
}

// New makes an empty index.
func New(h *Hasher) *Index {
	x := &Index{hasher: h}
	x.clear()
	return x
}

func (x *Index) clear() {
	x.places, x.alerts, x.posts, x.dead = nil, nil, nil, 0
	x.byID, x.slots, x.heads = map[ledger.ID]uint32{}, map[alertKey]uint32{}, map[Hash]uint32{}
}

// Terms hashes terms that are asked for among what is meant (empty name), or in one exercise.
func (x *Index) Terms(exercise string, list []searchkey.Term) []HashedTerm {
	out := make([]HashedTerm, len(list))
	for i, t := range list {
		out[i] = HashedTerm{t.Kind, x.hasher.Hash(exercise, t)}
	}
	return out
}

// Put enters a version of an alert. The highest version counts, in whatever
// order they come, and after a withdrawal none: it stays known, so that another
// version that comes later is not found.
func (x *Index) Put(e Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	key := alertKey{x.place(e.Place), e.ID}
	if at, ok := x.slots[key]; ok {
		switch {
		case e.Withdrawn:
			x.alerts[at].withdrawn = true
			x.bury(at)
			return
		case x.alerts[at].withdrawn, x.alerts[at].version >= e.Version:
			return
		}
		x.bury(at)
	}
	x.enter(key, e)
	if x.dead > len(x.alerts)/2 && x.dead > minDead {
		x.rebuild()
	}
}

// minDead is how many slots may be dead before the index is built anew.
const minDead = 10_000

func (x *Index) place(p Place) uint32 {
	at, ok := x.byID[p.Ledger]
	if !ok {
		at = uint32(len(x.places)) //nolint:gosec // ledgers are few
		x.places = append(x.places, p)
		x.byID[p.Ledger] = at
	}
	return at
}

func (x *Index) enter(key alertKey, e Entry) {
	at := uint32(len(x.alerts)) //nolint:gosec // below 2^32 alerts fit into memory
	x.alerts = append(x.alerts, slot{
		id: e.ID, eraseAfter: e.EraseAfter, place: key.place, version: e.Version, typ: e.Type, urgency: e.Urgency,
	})
	x.slots[key] = at
	if e.Withdrawn {
		x.alerts[at].withdrawn = true
		x.bury(at)
		return
	}
	for _, t := range e.Terms {
		x.posts = append(x.posts, posting{slot: at, next: x.heads[t.Hash], kind: t.Kind})
		x.heads[t.Hash] = uint32(len(x.posts)) //nolint:gosec // as above
	}
}

func (x *Index) bury(at uint32) {
	if !x.alerts[at].gone {
		x.alerts[at].gone = true
		x.dead++
	}
}

// Forget takes an alert out if this version of it, whose content is erased, is the
// one that counts.
func (x *Index) Forget(led ledger.ID, id [16]byte, version uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if place, ok := x.byID[led]; ok {
		if at, ok := x.slots[alertKey{place, id}]; ok && x.alerts[at].version == version {
			x.bury(at)
		}
	}
}

// rebuild leaves the postings of dead slots behind. The slots themselves stay:
// they say which version came last.
func (x *Index) rebuild() {
	heads := make(map[Hash]uint32, len(x.heads))
	posts := make([]posting, 0, len(x.posts))
	for h, head := range x.heads {
		var alive []posting
		for at := head; at != 0; at = x.posts[at-1].next {
			if p := x.posts[at-1]; !x.alerts[p.slot].gone {
				alive = append(alive, p)
			}
		}
		for _, p := range slices.Backward(alive) { // oldest first, so that the newest is the head again
			posts = append(posts, posting{slot: p.slot, next: heads[h], kind: p.kind})
			heads[h] = uint32(len(posts)) //nolint:gosec // as above
		}
	}
	x.heads, x.posts, x.dead = heads, posts, 0
}

// Sweep takes out what must be erased by now; it is not found any more in any
// case.
func (x *Index) Sweep(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	at := now.UnixMicro()
	for i := range x.alerts {
		if x.alerts[i].eraseAfter <= at {
			x.bury(uint32(i))
		}
	}
	if x.dead > minDead {
		x.rebuild()
	}
}

// Size gives how many current alerts can be found, and by how many terms.
func (x *Index) Size() (alerts, terms int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for i := range x.alerts {
		if !x.alerts[i].gone {
			alerts++
		}
	}
	return alerts, len(x.posts)
}
