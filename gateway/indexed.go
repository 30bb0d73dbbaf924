package gateway

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"

	"karaula/gateway/book"
	"karaula/gateway/index"
	"karaula/internal/alert"
	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// openIndex makes the indexes of alerts and opens their file. A file that cannot be
// used makes a start slower, and stops nothing.
//
// What is practised is hashed with a key of its own: even a record that came into
// the other index would be found there by no question.
func (g *Gateway) openIndex() error {
	terms, err1 := indexKey(g.o.Keys.Keys(), "karaula/index-terms/v1")
	drilled, err2 := indexKey(g.o.Keys.Keys(), "karaula/index-exercise-terms/v1")
	file, err3 := indexKey(g.o.Keys.Keys(), "karaula/index-file-key/v1")
	if err := errors.Join(err1, err2, err3); err != nil {
		return problem.Wrap(problem.Locked, err, "the index has no key; the gateway does not start")
	}
	g.index, g.drillIndex = index.New(index.NewHasher(terms)), index.New(index.NewHasher(drilled))
	var err error
	if g.indexFile, err = index.OpenFile(g.o.Layout.Index(), file); err != nil {
		g.log.Warn("no index file", "why", err.Error())
	}
	return nil
}

// indexKey derives a key from one that never changes and that only the gateway has.
func indexKey(keys *keyring.Gateway, label string) ([]byte, error) {
	return hkdf.Key(sha256.New, keys.Officer, nil, label, index.KeySize)
}

// enterIndex completes an entry with what was sealed, and enters it into the
// index. inner is nil for what is read back: then the index file is asked, and
// only what it does not have is opened.
func (c *channel) enterIndex(e *book.Entry, p *envelope.Parsed, inner *karaulav1.Inner) {
	r, ok := c.opened(e, p, inner)
	if !ok {
		return
	}
	e.Type, e.Urgency, e.Lifecycle = r.GetType(), alert.UrgencyWord(r.GetUrgency()), r.GetLifecycle()
	copy(e.Supersedes[:], r.GetSupersedes())
	copy(e.About[:], r.GetAbout())
	e.ReplyDue, e.ReviewDue, e.FalseHit = r.GetReplyDue(), r.GetReviewDue(), r.GetFalseHit()
	e.Handling, e.Descent, e.Expires, e.Stage = r.GetHandling(), r.GetDescent(), r.GetExpires(), r.GetStage()
	place := index.Place{Ledger: e.Ledger, Channel: e.Channel, Origin: e.Origin}
	c.g.indexOf(c.mode).Put(index.EntryOf(r, place, p.Statement.GetEraseAfter()))
}

// enterAct completes an act with what was sealed, and enters it into the book;
// inner is as in enterIndex.
func (c *channel) enterAct(e book.Entry, p *envelope.Parsed, inner *karaulav1.Inner) {
	if r, ok := c.opened(&e, p, inner); ok && r.GetAct() != nil {
		e.Act = r.GetAct()
		c.book.AddAct(e)
	}
}

// opened gives the record of a statement, from the index file or from its
// content, and names in the entry the alert that it is or is about.
func (c *channel) opened(e *book.Entry, p *envelope.Parsed, inner *karaulav1.Inner) (*karaulav1.IndexRecord, bool) {
	r, known := c.g.indexFile.Known(e.Leaf)
	if !known {
		if inner == nil {
			var err error
			if inner, _, err = c.g.opener.openMain(p, c.g.self); err != nil {
				return nil, false
			}
		}
		r = c.g.indexOf(c.mode).Record(e.Ledger, e.Leaf, e.EraseAfter, inner)
		c.g.indexFile.Add(r)
	}
	if p.IsStub() && !index.IsBare(r) {
		c.stale.add(e.Leaf) // the node was stopped between the two
		r = index.Bare(r)
	}
	e.Opened, e.Version = true, r.GetVersion()
	copy(e.ID[:], r.GetAlertId())
	e.Exercise = r.GetExercise()
	return r, true
}
