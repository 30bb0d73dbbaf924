package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"karaula/internal/problem"
)

// maxRestored bounds the file that says what a folder was restored from, in bytes.
const maxRestored = 1 << 20

// Restored says from what a folder was restored. It stays in the folder: what
// had been said when the backup was made is a floor under which the node's own
// ledgers must never be taken up again, however long ago that was.
type Restored struct {
	BackupMadeAt time.Time     `json:"backup_made_at"`
	RestoredAt   time.Time     `json:"restored_at"`
	Ledgers      []KnownLedger `json:"ledgers"`
	// NewestCard is the highest serial of an own card that any partner knows, as a
	// person has found out; 0 until then. Below it no card must be issued again.
	NewestCard uint64 `json:"newest_card,omitempty"`
}

// MayIssue refuses to issue a card in a restored folder as long as nobody has
// found out how far the serials had gone: two cards with one serial are evidence
// against the own root. It gives the serial that the next card must be above.
func (r *Restored) MayIssue(party string) (above uint64, err error) {
	switch {
	case r == nil:
		return 0, nil
	case r.NewestCard == 0:
		return 0, problem.New(problem.Conflict, "the folder was restored from a backup, and a card of %s may have been issued since; "+
			"a second one with its serial would be evidence against the own root, none was made", party).
			WithHint("ask every partner for the serial of its newest card of yours (karaula party show %s), "+
				"then: karaula card confirm SERIAL --dir DIR", party)
	default:
		return r.NewestCard, nil
	}
}

// KnownLedger is how far an own ledger went, as its signing journal knew.
type KnownLedger struct {
	Channel string `json:"channel"`
	Ledger  string `json:"ledger"` // hex
	Epoch   uint64 `json:"epoch"`
	Size    uint64 `json:"size"` // last number that was signed, 0 if none was
}

// Behind reports whether an epoch and size are before this place.
func (k KnownLedger) Behind(epoch, size uint64) bool {
	return epoch < k.Epoch || epoch == k.Epoch && size < k.Size
}

// Floor gives how far a ledger is known to have gone at least; ok is false if
// nothing is known of it. A nil Restored knows nothing.
func (r *Restored) Floor(ledger string) (k KnownLedger, ok bool) {
	if r == nil {
		return KnownLedger{}, false
	}
	for _, l := range r.Ledgers {
		if l.Ledger == ledger {
			return l, true
		}
	}
	return KnownLedger{}, false
}

// LoadRestored reads [Layout.Restored]; nil if the folder was not restored. A
// damaged file is a problem of kind Verification: without it nobody knows what
// must not be said again.
func (l Layout) LoadRestored() (*Restored, error) {
	f, err := os.Open(l.Restored())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // most folders were never restored, which is no error
	}
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "it cannot be read what the node was restored from; it does not start")
	}
	defer f.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(f, maxRestored+1))
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "it cannot be read what the node was restored from; it does not start")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	var r Restored
	if len(body) > maxRestored || d.Decode(&r) != nil || r.BackupMadeAt.IsZero() {
		return nil, problem.New(problem.Verification, "%s is damaged; the node does not start", l.Restored()).
			WithHint("restore the backup again into a new folder: karaula restore FILE --dir NEWDIR --identity FILE")
	}
	return &r, nil
}
