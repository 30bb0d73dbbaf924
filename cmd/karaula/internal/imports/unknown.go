package imports

import (
	"context"

	"karaula/gateway/desk"
	"karaula/internal/problem"
)

// standing is what the node says of the register's alerts.
type standing struct {
	mark    desk.Mark
	known   map[[16]byte]bool // ids that stand, and that the state knows
	unknown [][16]byte        // ids that stand, and that it does not know
}

// compare asks the node which alerts of the register stand. A state that does not know
// one of them has lost what was in it: each is recorded before it is sent. By such a
// state, rows would become second alerts.
func (r *run) compare(ctx context.Context) error {
	mark, ids, err := r.node.imported(ctx, r.o.Register)
	if err != nil {
		return err
	}
	r.standing = standing{mark: mark, known: make(map[[16]byte]bool, len(ids))}
	made := r.o.State.ids()
	for _, id := range ids {
		if made[id] {
			r.standing.known[id] = true
		} else {
			r.standing.unknown = append(r.standing.unknown, id)
		}
	}
	if n := len(r.standing.unknown); n > 0 && !r.o.ReplaceUnknown {
		return problem.New(problem.Verification,
			"%d of %d alerts of %s that stand on %s are not in the state of the import, %s: it was lost, cut off or is an older copy; nothing was sent",
			n, len(ids), r.o.Register, r.o.Channel, r.o.State.path).
			WithHint("put the newest copy back and run the same command again; if there is none, run it with --replace-unknown: " +
				"it sends the rows as new alerts, and then takes these back")
	}
	return nil
}

// newID makes the id of a new alert. Called with r.mu held.
func (r *run) newID() [16]byte {
	for {
		id := r.standing.mark.NewAlertID(r.o.Now())
		if !r.made[id] {
			r.made[id] = true
			return id
		}
	}
}

// ended reports whether an alert that was sent stands no more.
func (r *run) ended(id [16]byte) bool { return r.standing.mark.On(id) && !r.standing.known[id] }

// replace takes back the alerts that the state did not know, once every row has one
// that it does know. While a row is bad, the alert that is taken back may be its only
// one; so is it where rows are gone, which is more likely a file that was cut short.
func (r *run) replace(ctx context.Context) error {
	unknown, rows := len(r.standing.unknown), r.counts.New+r.counts.Updated+r.counts.Unchanged
	switch most := r.atMost(unknown); {
	case unknown == 0:
		return nil
	case unknown-rows > most:
		return problem.New(problem.Conflict,
			"%d alerts that the state does not know stand, but the file has %d rows: more than %d would be left without an alert; none was taken back",
			unknown, rows, most).
			WithHint("see that the file is whole; then allow it with --withdraw-at-most %d", unknown-rows)
	case r.counts.Bad > 0:
		return problem.New(problem.Conflict,
			"%d rows were not sent, and may have their alerts among the %d that the state does not know; none of these was taken back",
			r.counts.Bad, unknown).
			WithHint("mend the rows, and run the same command again")
	}
	return each(r.standing.unknown, func(id [16]byte) error {
		if err := r.takeBack(ctx, id); err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.counts.Replaced++
		r.o.Progress(r.counts)
		return nil
	})
}
