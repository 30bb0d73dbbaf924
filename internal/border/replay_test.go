package border_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/border"
	"karaula/internal/notice"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// history is what an origin says, good and bad, with cards and texts that rule
// on the way.
type history struct {
	raws  [][]byte
	files [][]byte // cards and texts that a receiver may learn late
}

// tell lets me say n times something at random, and more often than not something good.
func tell(s *scene, r *rand.Rand, n int) history {
	var h history
	id := s.UUIDv7()
	amended := false
	for range n {
		s.Now = s.Now.Add(time.Duration(r.IntN(90)) * time.Second)
		d := vehicle()
		switch r.IntN(20) {
		case 0:
			d = testworld.Said(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING) // allowed by the amended text only
		case 1:
			d = heartbeat()
		case 2:
			d = s.actOn()
		case 3:
			d = testworld.Draft{Kind: karaulav1.Kind_KIND_RECEIPT, Body: s.receipt()}
		case 4:
			d.Set = func(st *karaulav1.Statement) { st.Format = 2 }
		case 5:
			d.Set = func(st *karaulav1.Statement) { st.SaidAt -= int64(5 * time.Minute / time.Microsecond) }
		case 6:
			d.Inner = func(in *karaulav1.Inner) { in.AlertId = id } // said once, and again
		case 7:
			d.Envelope = func(e *karaulav1.Envelope) { e.Parts = nil }
		case 8:
			d.Frame = func(b []byte) []byte { b[40] ^= 1; return b }
		case 9:
			fresh := s.Rotate("me", nil)
			h.files = append(h.files, fresh.Signed)
			h.raws = append(h.raws, s.me.Say(cardStatement(fresh)))
			s.me.Card = fresh
		case 10:
			if amended {
				continue
			}
			amended = true
			file := s.Sign(s.Amend(s.text, "say al trafficking", "say al,me trafficking"), "al", "me", "xk")
			h.files = append(h.files, file)
			h.raws = append(h.raws, s.me.Say(amendment(file)))
			s.me.Text = s.Lint(file)
		case 11:
			d.Unsaid = true
			d.Envelope = func(e *karaulav1.Envelope) { e.Signatures[0].Sig[0] ^= 1 }
		case 12:
			d.Set = func(st *karaulav1.Statement) { st.SaidAt += int64(2 * time.Minute / time.Microsecond) }
		}
		h.raws = append(h.raws, s.me.Say(d))
	}
	return h
}

// verdicts says what became of every number, in short.
type verdicts map[border.Position]string

// straight receives everything in order, knowing everything.
func straight(g *gate, h history) verdicts {
	out := verdicts{}
	for _, raw := range h.raws {
		p, v := g.receive(raw)
		if p.Kind == border.Next {
			out[p.Position] = said(v)
		}
	}
	return out
}

// crooked is a receiver to whom things come late, twice and out of order, who
// has its keys locked and the agreement suspended now and then.
type crooked struct {
	*gate
	r       *rand.Rand
	files   [][]byte
	waiting [][]byte // without a place yet
	held    []taken
	out     verdicts
}

func (c *crooked) receiveAll(h history) verdicts {
	c.files, c.out = h.files, verdicts{}
	queue := append([][]byte(nil), h.raws...)
	for i := range queue {
		j := min(i+c.r.IntN(3), len(queue)-1)
		queue[i], queue[j] = queue[j], queue[i]
	}
	for i, raw := range queue {
		c.offer(raw)
		if c.r.IntN(3) == 0 {
			c.offer(queue[c.r.IntN(i+1)])
		}
		c.retry()
		c.somethingHappens()
	}
	for len(c.files) > 0 {
		c.learn()
	}
	c.locked = false
	c.resume()
	c.retry()
	c.rejudge()
	return c.out
}

// offer places bytes as a gateway does, and judges what is not held behind them.
func (c *crooked) offer(raw []byte) bool {
	k := c.take(raw)
	switch k.p.Kind { //nolint:exhaustive // the others are dropped
	case border.Next:
		c.rejudge()
		c.note(k)
		return true
	case border.Ahead, border.NeedCard:
		c.waiting = append(c.waiting, raw)
	}
	return false
}

// retry offers what had no place yet until nothing finds one.
func (c *crooked) retry() {
	for again := true; again; {
		again = false
		waiting := c.waiting
		c.waiting = nil
		for _, raw := range waiting {
			again = c.offer(raw) || again
		}
	}
}

func (c *crooked) rejudge() {
	held := c.held
	c.held = nil
	for _, k := range held {
		c.note(k)
	}
}

func (c *crooked) note(k taken) {
	v := c.judge(k)
	c.out[k.p.Position] = said(v)
	if v.Class == karaulav1.VerdictClass_VERDICT_CLASS_HELD {
		c.held = append(c.held, k)
	}
}

func (c *crooked) learn() {
	c.w.Give(c.files[0], c.self.Code)
	c.files = c.files[1:]
	c.rejudge()
}

func (c *crooked) suspended() bool {
	ch, ok := c.view().Channel(open)
	return ok && ch.Suspended[c.self.Code] != nil
}

func (c *crooked) resume() {
	if c.suspended() {
		entry, _ := c.view().Channel(open)
		c.w.Give(c.w.Notice(c.self.Code, entry.Agreement, notice.Resume), c.self.Code)
	}
}

func (c *crooked) somethingHappens() {
	c.w.Now = c.w.Now.Add(30 * time.Second)
	switch c.r.IntN(4) {
	case 0:
		c.locked = !c.locked
	case 1:
		if len(c.files) > 0 {
			c.learn()
		}
	case 2:
		if c.suspended() {
			c.resume()
		} else {
			entry, _ := c.view().Channel(open)
			c.w.Give(c.w.Notice(c.self.Code, entry.Agreement, notice.Suspend), c.self.Code)
		}
	}
	c.rejudge()
}

// Whatever comes late, twice or out of order, and whatever is held in between:
// the same statements end in the same places with the same verdicts.
func TestReplayGivesTheSameVerdicts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			s := newScene(t, open)
			late := &crooked{gate: newGate(s.World, "xk", s.me), r: r}
			s.View("xk") // its register begins with what is known now
			h := tell(s, r, 30)
			end := s.Now.Add(time.Hour)
			s.Now = testworld.Start.Add(-skew) // so that some of it is in the future
			got := late.receiveAll(h)
			s.Now = end
			late.rejudge()

			for _, file := range h.files {
				s.Give(file, "al")
			}
			want := straight(s.al, h)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("verdicts differ (-straight +crooked):\n%s", diff)
			}
			if late.led.Tree.Root() != s.al.led.Tree.Root() || late.led.Card != s.al.led.Card ||
				late.led.Agreement != s.al.led.Agreement || late.led.SaidAt != s.al.led.SaidAt {
				t.Error("the ledgers differ")
			}
			again := newGate(s.World, "al", s.me)
			if diff := cmp.Diff(want, straight(again, h)); diff != "" {
				t.Errorf("a replay differs (-first +replay):\n%s", diff)
			}
		})
	}
}
