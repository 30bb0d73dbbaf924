package inbox

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

// SetBack reports whether the node's own broker has lost what was stored here.
// The inbox must then be closed and opened again.
func (b *Inbox) SetBack() bool { return b.back.Load() }
