package hostile

import (
	"fmt"
	"strings"
	"time"

	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// verdict is the name under which al counts a verdict of a try: "refused too-large".
func verdict(want string) string {
	class, code, _ := strings.Cut(want, " ")
	return fmt.Sprintf(`karaula_statements_judged_total{channel="%s",class="%s",code="%s"}`, attacked, class, code)
}

// aside is the name under which al counts what takes no place.
func aside(want string) string {
	_, code, _ := strings.Cut(want, " ")
	return fmt.Sprintf(`karaula_quarantined_total{channel="%s",code="%s",party="xk"}`, attacked, code)
}

// says says everything that must be refused, each for its reason.
func (c *campaign) says() {
	tries := append(testworld.Tries(), texts()...)
	for i := range tries {
		tries[i] = named(tries[i])
	}
	tries = append(tries, names()...)
	want, before := Counts{}, c.counts()
	grown := c.tryOut("says what it may not", len(tries), func() {
		for _, t := range tries {
			name := verdict(t.Want)
			if t.Aside {
				name = aside(t.Want)
			}
			want[name]++
			c.parties.Now = time.Now()
			c.Publish(t.Say(c.Voice))
		}
		for name, n := range want {
			c.counted(name, before, n)
		}
	})
	for name, n := range want {
		if grown[name] != n {
			c.t.Errorf("%s grew by %g, want %g", name, grown[name], n)
		}
	}
	if got := grown.Since(nil, verdict("accepted accepted")); len(got) > 0 {
		c.t.Errorf("accepted: %s", got.Show())
	}
	c.t.Logf("    %d reasons: %s", len(want), shortened(want))
}

// shortened leaves the codes of samples.
func shortened(c Counts) string {
	return strings.NewReplacer(
		"karaula_statements_judged_total", "", "karaula_quarantined_total", "aside", `channel="`+attacked+`",`, "",
		`,party="xk"`, "",
	).Replace(c.Show())
}

// texts are absurd files where a card, an agreement or a notice belongs.
func texts() []testworld.Try {
	files := map[string][]byte{
		"endless":  []byte(strings.Repeat("a", 60_000)),
		"lines":    []byte(strings.Repeat("\n", 60_000)),
		"says":     []byte("karaula agreement v1\n" + strings.Repeat("say xk vehicle personal=yes handling<=H3 retain<=1y\n", 1100)),
		"parties":  []byte("karaula agreement v1\nid x\n" + strings.Repeat("party xk \"x\"\n", 4000)),
		"card":     []byte("karaula card v1\n" + strings.Repeat("key sign ed25519\n", 3000)),
		"notice":   []byte("karaula notice v1\n" + strings.Repeat("reason \"x\"\n", 4000)),
		"names":    []byte("karaula notice v1\nparty KANAROVIC\nKANAROVIC QX 777 XQ\n\n— KANAROVIC QX777XQ\n"),
		"named":    []byte("karaula card v1\nparty kanarovic\nname \"KANAROVIC\"\nKanarovic QX 777 XQ\n"),
		"titled":   []byte("karaula agreement v1\nid kanarovic\ntitle \"KANAROVIC\"\nKANAROVIC x\n"),
		"brackets": []byte("karaula card v1\n" + strings.Repeat("[{(", 20_000)),
	}
	var out []testworld.Try
	for name, file := range files {
		for _, d := range []testworld.Draft{
			{Kind: karaulav1.Kind_KIND_AGREEMENT, Body: &karaulav1.AgreementBody{Agreement: file}},
			{Kind: karaulav1.Kind_KIND_CARD, Body: &karaulav1.CardBody{Card: file}},
			{Kind: karaulav1.Kind_KIND_NOTICE, Body: &karaulav1.NoticeBody{Notice: file}},
		} {
			out = append(out, testworld.Try{
				Name: name, Want: "refused bad-body", Draft: func(*testworld.Voice) testworld.Draft { return d },
			})
		}
	}
	return out
}

func (c *campaign) counts() Counts {
	c.t.Helper()
	now, err := c.Counts(c.AL)
	c.must(err)
	return now
}

// floodsItsStream fills what al fetches.
func (c *campaign) floodsItsStream() {
	many := 1500 * c.times
	var same []byte
	again := func(int) []byte {
		if same == nil {
			same = c.Voice.Say(heartbeat())
		}
		return same
	}
	for _, f := range []struct {
		name, count string
		n           int
		make        func(i int) []byte
	}{
		{"tiny statements", verdict("accepted accepted"), many, func(int) []byte { return c.Voice.Say(heartbeat()) }},
		{"tiny refused statements", verdict("refused malformed"), many, func(int) []byte {
			d := heartbeat()
			d.Set = func(st *karaulav1.Statement) { st.PrevRoot = nil }
			return c.Voice.Say(d)
		}},
		{"large statements", verdict("refused too-large"), 20 + 2*c.times, func(int) []byte {
			d := testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
			d.Sealed = func(b []byte) []byte { return append(b, make([]byte, 1_000_000)...) }
			return c.Voice.Say(d)
		}},
		{"junk", "", many, func(i int) []byte { return fmt.Appendf(nil, "junk %d", i) }},
		{"the same statement", "", many, again},
	} {
		before := c.counts()
		c.tryOut(f.name, f.n, func() {
			for done := 0; done < f.n; {
				var raws [][]byte
				for ; done < f.n && len(raws) < 500; done++ {
					c.parties.Now = time.Now()
					raws = append(raws, f.make(done))
				}
				c.Publish(raws...)
			}
			if f.count != "" {
				c.counted(f.count, before, float64(f.n))
			}
			c.fetched()
		})
	}
}

// fetched waits until al has acknowledged everything that lies in xk's stream.
func (c *campaign) fetched() {
	c.t.Helper()
	c.until("al has fetched everything", func() bool {
		info, err := c.xk.Agent.Broker().Jsz()
		if err != nil {
			return false
		}
		for _, acc := range info.AccountDetails {
			for _, s := range acc.Streams {
				if s.Name != "OUT_"+attacked {
					continue
				}
				for _, k := range s.Consumer {
					return k.AckFloor.Stream >= s.State.LastSeq
				}
			}
		}
		return false
	})
}

// contradictsItself says two things with one number, jumps ahead and goes back:
// nothing that follows is accepted, and officers are told.
func (c *campaign) contradictsItself() {
	before := c.counts()
	grown := c.tryOut("contradicts itself", 4, func() {
		c.parties.Now = time.Now()
		other := c.Voice.Clone()
		ahead := heartbeat()
		ahead.Set, ahead.Unsaid = func(st *karaulav1.Statement) { st.Seq += 5 }, true
		was := c.asked("rewind")
		c.Publish(c.Voice.Say(ahead))
		c.until("al asks for what is missing", func() bool { return c.asked("rewind") > was })
		c.Publish(c.Voice.Say(heartbeat()))
		// One that comes first takes the number, and with it the other is acknowledged.
		c.counted(verdict("accepted accepted"), before, 1)
		c.Publish(other.Say(testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE)))
		c.counted(aside("refused fork"), before, 1)
		c.Publish(c.Voice.Say(testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE)))
		c.counted(verdict("held history-incomplete"), before, 1)
	})
	c.t.Logf("    %s", shortened(grown.Since(nil, "karaula_statements_judged_total")))
	c.t.Logf("    %s", shortened(grown.Since(nil, "karaula_quarantined_total")))
}
