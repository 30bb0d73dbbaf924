package broker

import (
	"log/slog"
	"time"

	"karaula/broker/sweep"
)

// toldUnread is how many blocks that could not be read are logged one by one.
const toldUnread = 20

// sweepStore sees to it that what a server has deleted lies in its store no more, also
// where that server was stopped in the middle of an erasure. It is for a store in which
// no server runs; unless it succeeds none may be started, for the gateway would take
// for erased what is still there.
func sweepStore(store string, log *slog.Logger) error {
	begin := time.Now()
	r, err := sweep.Store(store)
	if r.Overwritten+r.Leftovers > 0 {
		log.Warn("an erasure was interrupted; what it left in the store was overwritten",
			"messages", r.Overwritten, "files_removed", r.Leftovers, "store", store)
	}
	for _, u := range r.Unread[:min(len(r.Unread), toldUnread)] {
		log.Warn("a file of the store could not be swept; an interrupted erasure would stay in it", "file", u.File, "why", u.Why)
	}
	log.Info("swept the store", "streams", r.Streams, "blocks", r.Blocks, "bytes", r.Bytes, "unnoted", r.Unnoted, "unread", len(r.Unread),
		"took", time.Since(begin).Round(time.Millisecond).String())
	return err
}
