package gateway

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/inbox"
	"karaula/internal/notice"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// numbers remembers where the own statements of a channel stand in its stream,
// and which of them call for an answer. Guarded by the channel's mu.
type numbers struct {
	streamSeqs []uint64 // by number - 1
	answerable []uint64 // ascending
}

// note enters an own statement. Called with c.mu held.
func (n *numbers) note(st *karaulav1.Statement, streamSeq uint64) {
	if st.GetSeq() == uint64(len(n.streamSeqs))+1 {
		n.streamSeqs = append(n.streamSeqs, streamSeq)
	}
	switch st.GetKind() {
	case karaulav1.Kind_KIND_RECEIPT, karaulav1.Kind_KIND_HEARTBEAT:
	default:
		n.answerable = append(n.answerable, st.GetSeq())
	}
}

// streamSeq gives the place of an own statement in the stream.
func (c *channel) streamSeq(seq uint64) (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq == 0 || seq > uint64(len(c.numbers.streamSeqs)) {
		return 0, false
	}
	return c.numbers.streamSeqs[seq-1], true
}

// endSeq gives the place of the last own statement in the stream.
func (c *channel) endSeq() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.numbers.streamSeqs); n > 0 {
		return c.numbers.streamSeqs[n-1]
	}
	return 0
}

// unjudged counts own statements above a number that call for an answer.
func (c *channel) unjudged(judgedTo uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearch(c.numbers.answerable, judgedTo+1)
	return uint64(len(c.numbers.answerable[i:]))
}

// backlog counts own statements that a partner has not judged yet.
func (c *channel) backlog(party string) uint64 {
	return c.unjudged(c.g.book.JudgedTo(c.ledger(c.g.self), party, c.writer.Head().GetEpoch()))
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
