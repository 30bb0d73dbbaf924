package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"karaula/gateway/erase"
	"karaula/internal/subject"
)

// A broker that fails between noting a message as deleted and overwriting it says that
// the message is not there. No receipt says so: neither of the gateway that has ordered
// it, nor of one that is started then. Once the broker was started again, one does.
func TestNoReceiptForAnErasureThatFailed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, at, leaf := meSays(me)
	h.deliver(raw)
	other, _, _ := meSays(me) // a block's only message is erased in another order
	h.deliver(other)
	in := subject.InStream(subject.Actual(channelID), "me")
	inTheWay := filepath.Join(h.broker.Dir(), "jetstream", "$G", "streams", in, "msgs", "1.blk.tmp")
	must(t, os.Mkdir(inTheWay, 0o700)) // where the broker writes the block anew
	h.deliver(order(me, at, leaf))
	complaints := func() int { return strings.Count(h.logs.String(), "content that must be erased is still there") }
	h.until("the complaint", func() bool { return complaints() > 0 })
	c := h.gateway.channel(channelID)
	it := erase.Item{Position: at, Leaf: leaf, StreamSeq: 1}
	if _, there, err := c.log("me").Get(t.Context(), it.StreamSeq); there || err != nil {
		t.Fatalf("the broker does not lie: %v, %v", there, err)
	}
	if err := c.eraser("me").Erase(t.Context(), it); err == nil {
		t.Error("believed")
	}
	h.stop()
	before := complaints()
	h.start()
	h.until("the complaint of the next gateway", func() bool { return complaints() > before })
	h.move(max(0, time.Since(h.now())) + time.Hour) // a stub has the broker's time
	if list := h.gateway.channel(channelID).ear("me").Receipt(true).GetErasures(); len(list) > 0 {
		t.Errorf("the next receipt tells %v", list)
	}
	if h.told(at.Seq) > 0 || h.lies(probe(t, raw)) == 0 {
		t.Errorf("told %d times, and lies in %d files", h.told(at.Seq), h.lies(probe(t, raw)))
	}
	h.stop()
	must(t, os.Remove(inTheWay))
	h.broker.Restart() // and sweeps, if it is a node's own
	h.start()
	h.until("the receipt", func() bool { return h.told(at.Seq) == 1 })
}
