package gateway

import "google.golang.org/protobuf/proto"

// backLimit bounds what is kept of one witness while its statements are read back.
// Who means well goes down by one or two heads: a receipt is behind the heads of its
// own statement.
const backLimit = 64

// readBack takes in a head that is read back, in the order in which it was said. A
// head that was said after another one, and is not lower, speaks for both: if it is
// the one that is here, the partner has come to the same history, and if not, it is
// a difference itself. So a run of heads, each lower than the one before, is enough
// to come to what was known before the start. Nothing is compared yet: the ledger
// that it is about may not be read back. Called with the channel's sightMu held.
func (s *sight) readBack(said signed) {
	keep := len(s.back)
	for keep > 0 && !later(s.back[keep-1].head, said.head) {
		if proto.Equal(s.back[keep-1].head, said.head) {
			said = s.back[keep-1] // since when it says so
		}
		keep--
	}
	s.back = s.back[:keep]
	if keep == backLimit { // the lowest ones are as good as each other: the last one counts
		s.back = s.back[:keep-1]
	}
	s.back = append(s.back, said)
}

// settleBack compares what was read back, once every ledger of the channel is here.
func (c *channel) settleBack() {
	for _, by := range c.partners() {
		for _, of := range c.parties {
			w := witness{by, of}
			c.sightMu.Lock()
			var back []signed
			if s := c.sights[w]; s != nil {
				back, s.back = s.back, nil
			}
			c.sightMu.Unlock()
			for _, said := range back {
				c.weigh(w, said, c.relate(of, said.head))
			}
		}
	}
}
