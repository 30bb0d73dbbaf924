package inbox

import (
	"context"
	"maps"
	"slices"
	"time"

	"karaula/internal/border"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxErasures is how many erasures one receipt may hold.
const maxErasures = 500

// Erased is told that the content of a statement was erased, at a time in microseconds
// since 1970 UTC. The partner is told with a receipt; where the broker is a cluster not
// before [Inbox.Proved].
func (b *Inbox) Erased(place border.Position, at int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.docket.erased(place, b.doneAt(at))
}

// ErasedAgain is told that a copy of what was erased was found, or that it is erased,
// too: what was proved before and is not told yet is to be proved again.
func (b *Inbox) ErasedAgain(place border.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.docket.of(place.Epoch); b.cfg.Cluster && t.untold[place.Seq] {
		i := slices.IndexFunc(t.erasures, func(e *karaulav1.Erasure) bool { return e.GetSeq() == place.Seq })
		t.erasures[i] = &karaulav1.Erasure{Seq: place.Seq} // another one than is being proved
	}
}

// doneAt is when what this gateway has erased is gone: in a cluster that is not known yet.
func (b *Inbox) doneAt(at int64) int64 {
	if b.cfg.Cluster {
		return 0
	}
	return at
}

// Unproved is an erasure in a cluster of which nobody is told before no server holds the
// content.
type Unproved struct {
	Position border.Position
	entry    *karaulav1.Erasure
}

// Unproved gives all of them, in the order of their epochs. What was proved at a time
// that is still to come, by a clock that was wrong, is to be proved anew.
func (b *Inbox) Unproved() (out []Unproved) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now().UnixMicro()
	add := func(epoch uint64, t *telling) {
		for _, e := range t.erasures {
			if b.cfg.Cluster && (e.GetDoneAt() == 0 || e.GetDoneAt() > now) {
				out = append(out, Unproved{border.Position{Epoch: epoch, Seq: e.GetSeq()}, e})
			}
		}
	}
	for _, epoch := range slices.Sorted(maps.Keys(b.docket.over)) {
		add(epoch, b.docket.over[epoch])
	}
	add(max(b.docket.epoch, 1), &b.docket.telling)
	return out
}

// Proved is told that no server holds the content any more since a time, microseconds
// since 1970 UTC.
func (b *Inbox) Proved(list []Unproved, at int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range list {
		u.entry.DoneAt = at
	}
}

// ProveErased makes sure that what a start has found without its content is erased: the
// broker may have failed to overwrite it ([stream.Log.CanErase]). Until that is sure no
// receipt tells of erasures. It reports whether it has become so now.
func (b *Inbox) ProveErased(ctx context.Context) (now bool, err error) {
	b.mu.Lock()
	doubtful := b.docket.doubtful
	b.mu.Unlock()
	if !doubtful {
		return false, nil
	}
	if err := b.cfg.In.CanErase(ctx); err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.docket.doubtful = false
	return true, nil
}

// erased notes what the partner is to be told.
func (d *docket) erased(place border.Position, at int64) {
	t := d.of(place.Epoch)
	if place.Epoch > max(d.epoch, 1) || t.untold[place.Seq] {
		return
	}
	if t.untold == nil {
		t.untold = map[uint64]bool{}
	}
	t.untold[place.Seq] = true
	t.erasures = append(t.erasures, &karaulav1.Erasure{Seq: place.Seq, DoneAt: at})
}

// tellable gives the erasures of an epoch that can be told now, at most one receipt's
// worth. Called with b.mu held.
func (b *Inbox) tellable(t *telling, judgedTo uint64) []*karaulav1.Erasure {
	if b.docket.doubtful {
		return nil
	}
	now, horizon := b.cfg.Now().UnixMicro(), b.cfg.Horizon
	var out []*karaulav1.Erasure
	for _, e := range t.erasures {
		if e.GetSeq() > judgedTo || e.GetDoneAt() == 0 || e.GetDoneAt() > now || len(out) == maxErasures {
			continue
		}
		out = append(out, &karaulav1.Erasure{
			Seq: e.GetSeq(), DoneAt: e.GetDoneAt(), BackupHorizon: uint64(max(horizon, 0) / time.Second),
		})
	}
	return out
}

// receiptOfOver gives a receipt that tells of nothing but erasures in an epoch that is
// over, of numbers that were receipted while it went on; nil if there are none. Called
// with b.mu held.
func (b *Inbox) receiptOfOver() *karaulav1.LedgerReceipt {
	for _, epoch := range slices.Sorted(maps.Keys(b.docket.over)) {
		t := b.docket.over[epoch]
		if list := b.tellable(t, t.receipted); len(list) > 0 {
			return &karaulav1.LedgerReceipt{
				Ledger: b.led.ID[:], Epoch: epoch, Since: t.receipted, JudgedTo: t.receipted, Root: t.toldRoot[:],
				Quarantined: b.quarantined, Erasures: list,
			}
		}
	}
	return nil
}

// note takes in what a receipt of ours has said of the epoch, and reports whether it
// goes as far as any before it.
func (t *telling) note(r *karaulav1.LedgerReceipt) bool {
	t.told(r.GetErasures())
	if r.GetJudgedTo() < t.receipted {
		return false
	}
	t.receipted, t.toldRoot = r.GetJudgedTo(), [32]byte(r.GetRoot())
	return true
}

// told forgets what a receipt of ours has said.
func (t *telling) told(said []*karaulav1.Erasure) {
	done := make(map[uint64]bool, len(said))
	for _, e := range said {
		done[e.GetSeq()] = true
		delete(t.untold, e.GetSeq())
	}
	t.erasures = slices.DeleteFunc(t.erasures, func(e *karaulav1.Erasure) bool { return done[e.GetSeq()] })
}
