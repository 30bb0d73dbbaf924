package inbox

import "slices"

// maxLacking bounds the cards that what is stored waits for: who can write to the
// own broker can name any.
const maxLacking = 64

// goBack notes that the IN stream has lost what was stored in it: what this inbox
// knows is no longer so, and nothing can be stored behind it. Whoever opened it
// must open it again, from what is left; the rest is asked for from there.
func (b *Inbox) goBack(why error) {
	if b.back.CompareAndSwap(false, true) {
		b.cfg.Logger.Error("the broker has lost what was received; it will be read back and asked for again",
			"channel", b.led.Channel, "origin", b.led.Origin, "why", why.Error())
	}
}

// Lost tells the inbox that the IN stream no longer holds what it stored there.
func (b *Inbox) Lost(why error) { b.goBack(why) }

// lack notes that what is stored cannot be read back without a card.
func (b *Inbox) lack(digest [32]byte) {
	if len(b.lacking) < maxLacking && !slices.Contains(b.lacking, digest) {
		b.lacking = append(b.lacking, digest)
	}
}

// SetBack reports whether what is stored must be read back again: the node's own
// broker has lost some of it, or a card has come that was gone when it was read,
// without which nothing behind it has its place. The inbox must then be closed
// and opened again.
func (b *Inbox) SetBack() bool {
	if b.back.Load() || len(b.lacking) == 0 {
		return b.back.Load()
	}
	view := b.cfg.Register.View()
	return slices.ContainsFunc(b.lacking, func(digest [32]byte) bool {
		_, ok := view.CardByDigest(digest)
		return ok
	})
}
