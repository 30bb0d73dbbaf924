package gateway

import (
	"fmt"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/internal/register"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// syncRepudiated marks alerts that count no more, because their origin has
// revoked the key that signed them from an earlier number on: they were accepted,
// stay where they are, and are shown as what they are.
func (g *Gateway) syncRepudiated(view *register.View) {
	now := marked{view.Generation(), g.filled(), len(g.openChannels())}
	if now == g.marked {
		return
	}
	news := g.marked.complete // what is marked while history is read was told before
	g.marked = now
	for _, info := range view.Parties() {
		revoked := map[[16]byte]bool{}
		for _, c := range view.Cards(info.Code) {
			for _, r := range c.Revoked {
				revoked[r.Key] = true
			}
		}
		if len(revoked) == 0 {
			continue
		}
		late := func(e book.Entry) bool {
			epoch, seq, is := view.LastGood(info.Code, e.Ledger, e.Signer)
			return is && (e.Epoch > epoch || e.Epoch == epoch && e.Seq > seq)
		}
		hit := append(g.book.Repudiate(info.Code, late), g.drills.Repudiate(info.Code, late)...)
		if len(hit) > 0 {
			g.log.Warn("alerts are repudiated by their origin, which has revoked the key that signed them",
				"party", info.Code, "alerts", len(hit))
		}
		for _, e := range hit {
			if news && g.bus.Heard() {
				g.tell(&karaulav1.WatchResponse{
					Event: bus.Repudiated, Party: info.Code, Channel: e.Channel, Alert: g.bookOf(e.Mode).Row(e),
					Text: fmt.Sprintf("%s from %s on %s, number %d: accepted before, and now repudiated by %s",
						terms.TypeWord(e.Type), info.Code, e.Channel, e.Seq, info.Code),
				})
			}
		}
	}
}

// marked is the state in which repudiated alerts were last looked for.
type marked struct {
	generation uint64
	complete   bool
	channels   int
}
