package gateway

import (
	"strings"

	"karaula/internal/problem"
)

// A folder that was restored from a backup has keys and no journals: it does not
// know what it has said since. The backup says how far every ledger went at
// least, and a channel that has not come that far again is halted, whether or
// not a partner can be asked. A channel of which the backup knows nothing may
// have been spoken on after it was made: there every partner is asked, for one
// that has heard nothing proves nothing about what the others hold.

// fellBehind gives why a channel of a restored node must be repaired before
// anything is said there; nil if it need not.
func (c *channel) fellBehind() error {
	id := c.ledger(c.g.self)
	floor, known := c.g.restored.Floor(id.String())
	own := c.writer.Head()
	if !known || !floor.Behind(own.GetEpoch(), own.GetSize()) {
		return nil
	}
	return problem.New(problem.Verification,
		"the node was restored from a backup made when number %d had been said on channel %s, the signing journal holds %d; nothing is said there",
		floor.Size, c.id, own.GetSize()).
		WithHint("karaula ledger repair --channel %s", c.id)
}

// unheard gives why a restored node that has said nothing yet on a channel
// waits; nil once every partner has told what it holds. Called with c.mu held.
func (c *channel) unheard() error {
	var missing []string
	for _, p := range c.partners() {
		if !c.compared[p] {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return problem.New(problem.Unreachable,
		"the node was restored from a backup, and %s has not said yet what it holds of us on channel %s; nothing was said",
		strings.Join(missing, ", "), c.id).
		WithHint("every partner of the channel must be reached once: karaula status --dir DIR")
}
