package gateway

import (
	"fmt"
	"maps"
	"slices"

	"karaula/gateway/bus"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Whoever has stolen a key can sign with it after it was revoked. What it signs
// behind the last number that the own card lets count is nobody's word: it proves
// neither that the own journal was set back nor that this party contradicts
// itself, and stops nothing. But it is told, for somebody has the key.

// impostor tells that somebody has signed with an own key that is revoked; where
// is the code of the partner that shows it, or self for the own stream.
func (c *channel) impostor(where string, at *karaulav1.Statement) {
	shown := where + " shows"
	if where == c.g.self {
		shown = "the own stream holds"
	}
	text := fmt.Sprintf("somebody speaks with a key of ours that is revoked: %s a statement %d of epoch %d on channel %s signed with it; "+
		"it counts for nobody who has our card; look who has the key and whether a partner had taken it in before: karaula ledger repair --channel %s",
		shown, at.GetSeq(), at.GetEpoch(), c.id, c.id)
	c.g.metrics.impostors.WithLabelValues(c.label(), where).Inc()
	c.impostorMu.Lock()
	news := c.impostors[where] != text
	c.impostors[where] = text
	c.impostorMu.Unlock()
	if !news {
		return
	}
	c.g.log.Error("somebody speaks with a key of ours that is revoked", "channel", c.id, "party", where,
		"epoch", at.GetEpoch(), "seq", at.GetSeq())
	c.g.tell(&karaulav1.WatchResponse{Event: bus.Impostor, Party: where, Channel: c.id, Text: text})
}

// impostorsTold gives what was seen of it since the channel was opened.
func (c *channel) impostorsTold() []string {
	c.impostorMu.Lock()
	defer c.impostorMu.Unlock()
	return slices.Sorted(maps.Values(c.impostors))
}
