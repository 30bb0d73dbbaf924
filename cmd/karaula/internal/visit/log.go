package visit

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"karaula/internal/durable"
	"karaula/internal/problem"
)

// entry is one line of the auditor's own log of what it has looked at.
type entry struct {
	At      time.Time `json:"at"`
	Broker  string    `json:"broker"`
	Channel string    `json:"channel,omitempty"`
	Deed    string    `json:"deed"`
	Reason  string    `json:"reason"`
}

// log writes the visit down before anything is read: the broker cannot know why
// somebody reads.
func (v *visitor) log() error {
	line, err := json.Marshal(entry{v.o.Now().UTC().Truncate(time.Second), v.o.Party, v.o.Channel, v.o.Deed, v.o.Reason})
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the visit was not written down; nothing was read")
	}
	path := v.o.Layout.Audits()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the visit was not written down; nothing was read")
	}
	return nil
}
