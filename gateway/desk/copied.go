package desk

import (
	"fmt"
	"slices"

	"karaula/gateway/book"
	"karaula/internal/register"
	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// warnOfCopies says of alerts that are about to be sent which of them are about the
// same number as a partner's alert on a channel that others read: a copy by hand goes
// around the originator's consent. Nothing is refused, it can be own knowledge. The
// warning names the partner's alert and what matched, never a value. A dry run says
// nothing: it would be a look-up that nobody records.
func (d *Desk) warnOfCopies(view *register.View, ch *register.ChannelView, orders []*order) {
	if ch.Channel.Mode != karaulav1.Mode_MODE_ACTUAL {
		return
	}
	for _, o := range orders {
		found, _ := d.cfg.Index.Find(d.cfg.Index.Terms("", searchkey.Of(o.alert)), d.cfg.Now())
		for _, m := range found {
			if m.Origin == d.cfg.Self || m.Rank() != searchkey.Exact || slices.Contains(m.Channels, ch.ID) ||
				!d.readByOthers(view, ch, m.Origin, m.Channels) {
				continue
			}
			o.answer.Warnings = append(o.answer.Warnings, fmt.Sprintf(
				"%s has said an alert about the same (%s): %s on %s; "+
					"if this is a copy of it, withdraw it and use karaula alert share %s --channel %s [copied]",
				m.Origin, m.Kinds[0].Why(), book.IDText(m.ID), m.Channels[0], book.IDText(m.ID), ch.ID))
		}
	}
}

// readByOthers reports whether somebody reads a channel who reads none of those on
// which an originator has said its alert to this node.
func (d *Desk) readByOthers(view *register.View, ch *register.ChannelView, origin string, channels []string) bool {
	knows := []string{d.cfg.Self, origin}
	for _, id := range channels {
		if c, ok := view.Channel(id); ok {
			knows = append(knows, d.audience(c)...)
		}
	}
	return slices.ContainsFunc(d.audience(ch), func(p string) bool { return !slices.Contains(knows, p) })
}
