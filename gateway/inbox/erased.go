package inbox

import (
	"context"
	"slices"
	"time"

	"karaula/internal/border"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxErasures is how many erasures one receipt may hold.
const maxErasures = 500

// Erased is told that the content of a statement is gone from this node's disks
// since a time, microseconds since 1970 UTC. The partner is told with a receipt,
// not before that time.
func (b *Inbox) Erased(place border.Position, at int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.docket.erased(place, at)
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

// erased notes what the partner is to be told. Receipts speak of one epoch.
func (d *docket) erased(place border.Position, at int64) {
	if place.Epoch != max(d.epoch, 1) || d.untold[place.Seq] {
		return
	}
	if d.untold == nil {
		d.untold = map[uint64]bool{}
	}
	d.untold[place.Seq] = true
	d.erasures = append(d.erasures, &karaulav1.Erasure{Seq: place.Seq, DoneAt: at})
}

// tellable gives what can be told now, at most one receipt's worth.
func (d *docket) tellable(now time.Time, judgedTo uint64, horizon time.Duration) []*karaulav1.Erasure {
	if d.doubtful {
		return nil
	}
	var out []*karaulav1.Erasure
	for _, e := range d.erasures {
		if e.GetSeq() > judgedTo || e.GetDoneAt() > now.UnixMicro() || len(out) == maxErasures {
			continue
		}
		out = append(out, &karaulav1.Erasure{
			Seq: e.GetSeq(), DoneAt: e.GetDoneAt(), BackupHorizon: uint64(max(horizon, 0) / time.Second),
		})
	}
	return out
}

// told forgets what a receipt of ours has said.
func (d *docket) told(said []*karaulav1.Erasure) {
	done := make(map[uint64]bool, len(said))
	for _, e := range said {
		done[e.GetSeq()] = true
		delete(d.untold, e.GetSeq())
	}
	d.erasures = slices.DeleteFunc(d.erasures, func(e *karaulav1.Erasure) bool { return done[e.GetSeq()] })
}
