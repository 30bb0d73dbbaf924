package inbox

import "context"

// acknowledge has a stored message acknowledged, with everything before it. The
// intake does not wait for the partner's answer, and if the one before has not
// been answered yet, a newer one takes the place of those that wait. Called by
// the intake goroutine only.
func (b *Inbox) acknowledge(d Delivery) {
	select {
	case <-b.acks:
	default:
	}
	b.acks <- d
}

// acknowledging acknowledges until ctx ends.
func (b *Inbox) acknowledging(ctx context.Context) {
	defer b.done.Done()
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-b.acks:
			if err := d.Ack(); err != nil {
				b.cfg.Logger.Debug("acknowledging failed; it will be delivered again",
					"channel", b.led.Channel, "origin", b.led.Origin)
			}
		}
	}
}
