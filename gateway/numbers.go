package gateway

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/inbox"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/notice"
	"karaula/internal/register"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// numbers remembers of the own statements of a channel, epoch by epoch, their leaves
// and where they stand in its stream; which of the last epoch call for an answer; and
// from where on each text rules. Guarded by the channel's mu.
type numbers struct {
	epoch      uint64                   // the last one
	places     map[uint64]*epochNumbers // by epoch
	answerable []uint64                 // of the last epoch, ascending
	reigns     register.Reigns
}

// epochNumbers is one epoch.
type epochNumbers struct {
	leaves     ledger.History
	streamSeqs []uint64 // by number - 1
}

// of gives an epoch; an empty one if nothing was said in it.
func (n *numbers) of(epoch uint64) *epochNumbers {
	if e := n.places[epoch]; e != nil {
		return e
	}
	return &epochNumbers{}
}

// note enters an own statement. Called with c.mu held.
func (n *numbers) note(p *envelope.Parsed, streamSeq uint64) {
	st := p.Statement
	if n.places == nil {
		n.places = map[uint64]*epochNumbers{}
	}
	if st.GetEpoch() > n.epoch {
		n.epoch, n.answerable, n.places[st.GetEpoch()] = st.GetEpoch(), nil, &epochNumbers{}
	}
	e := n.of(st.GetEpoch())
	if st.GetEpoch() != n.epoch || st.GetSeq() != uint64(len(e.streamSeqs))+1 {
		return
	}
	e.streamSeqs = append(e.streamSeqs, streamSeq)
	e.leaves.Append(p.Leaf)
	n.reigns = n.reigns.Note(n.epoch, st.GetSeq(), textBehind(st))
	switch st.GetKind() {
	case karaulav1.Kind_KIND_RECEIPT, karaulav1.Kind_KIND_HEARTBEAT:
	default:
		n.answerable = append(n.answerable, st.GetSeq())
	}
}

// textBehind gives the text that rules behind an own statement.
func textBehind(st *karaulav1.Statement) [32]byte {
	var b karaulav1.AgreementBody
	if st.GetKind() == karaulav1.Kind_KIND_AGREEMENT && proto.Unmarshal(st.GetBody(), &b) == nil {
		if text, _, err := signedtext.Split(b.GetAgreement()); err == nil {
			return signedtext.Digest(text)
		}
	}
	return [32]byte(st.GetAgreement())
}

// streamSeq gives the place of an own statement in the stream.
func (c *channel) streamSeq(epoch, seq uint64) (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.numbers.of(epoch).streamSeqs
	if seq == 0 || seq > uint64(len(at)) {
		return 0, false
	}
	return at[seq-1], true
}

// resumeAt gives the place in the stream from which somebody goes on who waits
// for a number: its own, that of the epoch after it if it is beyond what counts
// of its epoch, or behind the end of the stream.
func (c *channel) resumeAt(epoch, seq uint64) uint64 {
	if at, ok := c.streamSeq(epoch, seq); ok {
		return at
	}
	if at, ok := c.streamSeq(epoch+1, 1); ok {
		return at
	}
	return c.endSeq() + 1
}

// firstPlace gives the place in the stream from which on everything is a partner's
// to read, in whatever epoch that is.
func (c *channel) firstPlace(view *register.View, party string) uint64 {
	reigns := c.reigns(c.g.self)
	place := c.endSeq() + 1
	for epoch := c.writer.Head().GetEpoch(); epoch > 0; epoch-- {
		for len(reigns) > 0 && reigns[len(reigns)-1].Epoch > epoch {
			reigns = reigns[:len(reigns)-1]
		}
		from, ok := view.ReadsFrom(reigns, party, epoch)
		if !ok {
			break
		}
		place = c.resumeAt(epoch, from)
		if from > 1 {
			break
		}
	}
	return place
}

// endSeq gives the place of the last own statement in the stream.
func (c *channel) endSeq() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.numbers.of(c.numbers.epoch).streamSeqs
	if len(at) == 0 {
		return 0
	}
	return at[len(at)-1]
}

// published is how many own statements of the last epoch are in the stream.
func (c *channel) published() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint64(len(c.numbers.of(c.numbers.epoch).streamSeqs))
}

// leaf gives the leaf of an own statement.
func (c *channel) leaf(epoch, seq uint64) ([32]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.numbers.of(epoch).leaves.Leaf(seq)
}

// edge gives the right edge of a ledger's tree at a size.
func (c *channel) edge(origin string, epoch, size uint64) ([][32]byte, bool) {
	if origin != c.g.self {
		return c.ear(origin).Edge(epoch, size)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.numbers.of(epoch).leaves.Tree(size)
	if !ok {
		return nil, false
	}
	return t.Frontier(), true
}

// reigns gives the texts that rule a ledger, and from where on.
func (c *channel) reigns(origin string) register.Reigns {
	if origin != c.g.self {
		return c.ear(origin).Reigns()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.numbers.reigns)
}

// readsFrom gives the first own number of an epoch that is a partner's to read;
// what it may not read yet begins behind the last one.
func (c *channel) readsFrom(view *register.View, party string, head *karaulav1.Head) uint64 {
	if from, ok := view.ReadsFrom(c.reigns(c.g.self), party, head.GetEpoch()); ok {
		return from
	}
	return head.GetSize() + 1
}

// unjudged counts own statements above a number that call for an answer.
func (c *channel) unjudged(judgedTo uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearch(c.numbers.answerable, judgedTo+1)
	return uint64(len(c.numbers.answerable[i:]))
}

// backlog counts own statements that are a partner's to read and that it has not
// judged yet.
func (c *channel) backlog(party string) uint64 {
	head := c.writer.Head()
	before := c.readsFrom(c.g.o.Register.View(), party, head) - 1
	return c.unjudged(max(before, c.book.JudgedTo(c.ledger(c.g.self), party, head.GetEpoch())))
}

// ear gives the ear for a partner; nil before it is open.
func (c *channel) ear(party string) *inbox.Inbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ears[party]
}

// noteNotice remembers an own notice that was said. Called with c.mu held.
func (c *channel) noteNotice(body []byte) {
	var b karaulav1.NoticeBody
	if proto.Unmarshal(body, &b) != nil {
		return
	}
	if n, err := notice.Peek(b.GetNotice()); err == nil {
		c.notices[n.Serial] = true
	}
}
