package inbox

import (
	"context"
	"sync"
	"time"

	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// judging makes verdicts in the order of numbers until ctx ends, and looks at
// held statements again when something that they may wait for has changed.
func (b *Inbox) judging(ctx context.Context) {
	defer b.done.Done()
	tick := time.NewTicker(retryPause)
	defer tick.Stop()
	var seen, keys uint64
	for {
		select {
		case <-ctx.Done():
			return
		case items := <-b.judge:
			b.judgeAll(ctx, b.more(items))
		case <-tick.C:
			generation := b.cfg.Register.View().Generation()
			held := b.keys()
			if again := b.worthAgain(generation != seen || held != keys); len(again) > 0 {
				b.judgeAll(ctx, again)
			}
			seen, keys = generation, held
		}
	}
}

// keys gives the generation of the own keys.
func (b *Inbox) keys() uint64 {
	if b.cfg.Keys == nil {
		return 0
	}
	return b.cfg.Keys()
}

// more takes what else waits for a verdict, up to one batch.
func (b *Inbox) more(items []*item) []*item {
	for len(items) < stream.MaxBatch {
		select {
		case next := <-b.judge:
			items = append(items, next...)
		default:
			return items
		}
	}
	return items
}

// worthAgain gives the held statements that may be judged otherwise now.
func (b *Inbox) worthAgain(changed bool) []*item {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now()
	var out []*item
	for _, h := range b.docket.held {
		if changed || !h.until.IsZero() && !now.Before(h.until) {
			out = append(out, h.item)
		}
	}
	return out
}

// judgeItems judges statements side by side, records the verdicts, and tells.
func (b *Inbox) judgeItems(ctx context.Context, items []*item) {
	view, now := b.cfg.Register.View(), b.cfg.Now()
	verdicts := make([]border.Verdict, len(items))
	var wg sync.WaitGroup
	for i, it := range items {
		b.cfg.Seats <- struct{}{}
		wg.Go(func() {
			defer func() { <-b.cfg.Seats }()
			verdicts[i] = b.cfg.Checker.Judge(&it.placement, view, it.before, b, now)
		})
	}
	wg.Wait()
	for i, it := range items {
		if b.judgedBefore(it) == nil {
			b.fetchText(ctx, it, verdicts[i])
		}
	}
	items, verdicts = b.news(items, verdicts)
	judged := make([]Judged, len(items))
	var fresh []Judged
	seen := batch{}
	for i, it := range items {
		j := Judged{Placement: &it.placement, Verdict: verdicts[i], StreamSeq: it.streamSeq, ErasedAt: it.erasedAt}
		seen.enter(it, &j.Verdict)
		if j.Judgement = b.judgedBefore(it); j.Judgement != nil {
			j.uphold()
			j.Upheld = true
		} else {
			j.Judgement = j.Verdict.Judgement(&it.placement, now)
			fresh = append(fresh, j)
		}
		judged[i] = j
	}
	if !b.record(ctx, fresh) {
		return
	}
	for i, j := range judged {
		j.Again = j.Upheld || b.receipted(j.Placement.Position)
		b.enter(items[i], j)
		b.cfg.OnJudged(j)
		b.claim(j.Placement)
		delete(b.before, j.Placement.Position)
		if j.Verdict.Class == karaulav1.VerdictClass_VERDICT_CLASS_HELD {
			items[i].sleep()
		}
	}
	if b.cfg.OnBatch != nil {
		b.cfg.OnBatch()
	}
}

// batch holds the alerts that were accepted earlier in the same batch, which the book
// does not know yet: by id, the versions.
type batch map[[16]byte]map[uint32]accepted

type accepted struct {
	at      border.Position
	earlier border.Earlier
}

// enter refuses a version of an alert that was accepted earlier in the batch, and one
// that does not follow such a version.
func (b batch) enter(it *item, v *border.Verdict) {
	if v.Inner.GetAlert() == nil {
		return
	}
	id, number := [16]byte(v.Inner.GetAlertId()), v.Inner.GetVersion()
	refuse := func(code karaulav1.Code, why string) {
		v.Class, v.Code, v.Detail = karaulav1.VerdictClass_VERDICT_CLASS_REFUSED, code, why
		v.Inner, v.Clause, v.Descent = nil, nil, nil
	}
	if twin, ok := b[id][number]; ok && twin.at != it.placement.Position {
		refuse(karaulav1.Code_CODE_DUPLICATE_ALERT, "this version of the alert was accepted before")
		return
	}
	var before uint32
	for n := range b[id] {
		if n < number {
			before = max(before, n)
		}
	}
	if before > 0 {
		if code, why := border.Follows(v.Inner, b[id][before].earlier); why != "" {
			refuse(code, why)
			return
		}
	}
	if b[id] == nil {
		b[id] = map[uint32]accepted{}
	}
	b[id][number] = accepted{it.placement.Position, border.EarlierOf(v.Inner)}
}

// mayAsk reports whether a text may be asked for: not all the time.
func (b *Inbox) mayAsk(digest [32]byte) bool {
	now := b.cfg.Now()
	if last, ok := b.asked[digest]; ok && now.Sub(last) < textPause && !now.Before(last) {
		return false
	}
	if b.asked == nil || len(b.asked) >= maxAsked {
		b.asked = map[[32]byte]time.Time{}
	}
	b.asked[digest] = now
	return true
}

// fetchText asks for the agreement text that a held statement waits for.
func (b *Inbox) fetchText(ctx context.Context, it *item, v border.Verdict) {
	if v.Code != karaulav1.Code_CODE_UNKNOWN_AGREEMENT || it.placement.Parsed == nil {
		return
	}
	digest := [32]byte(it.placement.Parsed.Statement.GetAgreement())
	if !b.mayAsk(digest) {
		return
	}
	if err := b.cfg.Partner.FetchAgreement(ctx, digest); err != nil {
		b.cfg.Logger.Warn(
			"a text that is needed cannot be had",
			"channel",
			b.led.Channel,
			"origin",
			b.led.Origin,
			"why",
			err.Error(),
		)
	}
}

// record writes verdicts to the verdict stream. It does not give up before ctx ends.
func (b *Inbox) record(ctx context.Context, judged []Judged) bool {
	for len(judged) > 0 {
		first := judged[0].Placement.Position.Epoch
		rec := &karaulav1.VerdictRecord{Ledger: b.led.ID[:], Epoch: first}
		n := 0
		for n < len(judged) && judged[n].Placement.Position.Epoch == first {
			rec.Judgements = append(rec.Judgements, judged[n].Judgement)
			n++
		}
		data, err := authentic(b.cfg.VerdictKey, rec)
		if err != nil {
			b.cfg.Logger.Error("verdicts cannot be written", "error", err.Error())
			return false
		}
		if !b.addVerdicts(ctx, data) {
			return false
		}
		judged = judged[n:]
	}
	return true
}

func (b *Inbox) addVerdicts(ctx context.Context, data []byte) bool {
	msg := stream.Msg{Subject: subject.Verdict(b.led.Channel, b.led.Origin), Data: data}
	for {
		once, cancel := context.WithTimeout(ctx, storeTimeout)
		_, err := b.cfg.Verdicts.Add(once, msg)
		cancel()
		if err == nil {
			b.unjudged.clear()
			return true
		}
		if b.unjudged.set("verdicts cannot be stored", err, b.cfg.Now()) {
			b.cfg.Logger.Warn("verdicts cannot be stored; nothing is receipted, will try again",
				"channel", b.led.Channel, "origin", b.led.Origin, "why", err.Error())
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryPause):
		}
	}
}

// enter puts a verdict into the docket.
func (b *Inbox) enter(it *item, j Judged) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.docket.enter(it, j)
}
