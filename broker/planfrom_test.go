package broker

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/node"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/testworld"
)

// planOf gives the plan of a party as the world stands.
func planOf(t *testing.T, w *testworld.World, code string) (Plan, time.Time) {
	t.Helper()
	party := w.Parties[code]
	party.Broker.GatewayUser = fixedUser(t, 1)
	own, err := OwnUsers(party.Broker, party.Card)
	if err != nil {
		t.Fatal(err)
	}
	cfg := node.Default()
	cfg.Party, cfg.Listen = code, "127.0.0.1:0"
	p, next, err := PlanFrom(w.View(code), cfg, node.Layout{Dir: filepath.Join(t.TempDir(), code)}, own, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Compile(p); err != nil {
		t.Fatalf("the plan cannot be written down: %v", err)
	}
	if _, err := p.CABundle(); err != nil {
		t.Fatal(err)
	}
	return p, next
}

func channelOf(t *testing.T, p Plan, id string) Channel {
	t.Helper()
	i := slices.IndexFunc(p.Channels, func(c Channel) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("the plan has no channel %s", id)
	}
	return p.Channels[i]
}

// words gives the tokens that a channel lets self say, the kinds left out.
func words(c Channel) []string {
	var out []string
	for _, s := range c.Say {
		if !slices.Contains(kinds, s.Token) {
			out = append(out, s.Token)
		}
	}
	slices.Sort(out)
	return out
}

// fetchers gives who may fetch, and who never will again.
func fetchers(c Channel) (fetch, closed []string) {
	for _, p := range c.Partners {
		if p.Fetch {
			fetch = append(fetch, p.Code)
		}
		if p.Closed {
			closed = append(closed, p.Code)
		}
	}
	return fetch, closed
}

func peersOf(p Plan) []string {
	var out []string
	for _, peer := range p.Peers {
		out = append(out, peer.Code)
	}
	return out
}

func TestPlanFollowsTheAgreement(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me", "xk", "rs", "audit1")
	a := w.Agree(w.Text("b01-al-me", []string{"al", "me", "audit1"}))
	w.Agree(w.Text("t01-al-me-xk", []string{"me", "al", "xk"}))

	p, next := planOf(t, w, "al")
	if got := peersOf(p); !slices.Equal(got, []string{"me", "xk"}) {
		t.Errorf("peers are %v; rs shares no agreement, auditors have no link", got)
	}
	c := channelOf(t, p, "b01-al-me")
	if got := words(c); !slices.Equal(got, []string{"route", "trafficking", "vehicle"}) || len(c.Say) != 3+9 {
		t.Errorf("al may say %v and %d words in all", got, len(c.Say))
	}
	if fetch, closed := fetchers(c); !slices.Equal(fetch, []string{"me"}) || closed != nil {
		t.Errorf("fetch %v, closed %v", fetch, closed)
	}
	if got := words(channelOf(t, p, "b01-al-me-s")); !slices.Equal(got, []string{"sealed"}) {
		t.Errorf("on a channel with sealed types al may say %v", got)
	}
	if got := words(channelOf(t, p, "t01-al-me-xk")); !slices.Equal(got, []string{"route", "vehicle"}) {
		t.Errorf("trafficking is for the first party only, al may say %v", got)
	}
	if !slices.Equal(c.In, []string{"me"}) || c.Quota != a.Quota || p.MaxStore != 32<<30 {
		t.Errorf("in %v, quota %d, store %d", c.In, c.Quota, p.MaxStore)
	}
	if want := w.Parties["me"].Card.Until; next.After(want) || !next.After(w.Now) {
		t.Errorf("next change is %v, the card of me ends at %v", next, want)
	}
	w.Parties["al"].Broker.GatewayUser = ""
	if _, err := OwnUsers(w.Parties["al"].Broker, w.Parties["al"].Card); !problem.Is(err, problem.Locked) {
		t.Errorf("a broker that knows no gateway: %v", err)
	}
}

func TestPlanFollowsSuspension(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me")
	a := w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	w.Give(w.Notice("al", a, notice.Suspend), "al", "me")

	p, _ := planOf(t, w, "al")
	c := channelOf(t, p, "b01-al-me")
	if fetch, closed := fetchers(c); fetch != nil || closed != nil {
		t.Errorf("al suspended: fetch %v, closed %v", fetch, closed)
	}
	if got := words(c); got != nil || len(c.Say) != 9 {
		t.Errorf("al suspended, and may say %v and %d words in all", got, len(c.Say))
	}
	if !slices.Equal(peersOf(p), []string{"me"}) {
		t.Error("the link service ends with a suspension")
	}
	p, _ = planOf(t, w, "me")
	if fetch, _ := fetchers(channelOf(t, p, "b01-al-me")); !slices.Equal(fetch, []string{"al"}) {
		t.Errorf("al's suspension stops al's fetching at me: %v", fetch)
	}
	w.Give(w.Notice("al", a, notice.Resume), "al", "me")
	p, _ = planOf(t, w, "al")
	if fetch, _ := fetchers(channelOf(t, p, "b01-al-me")); !slices.Equal(fetch, []string{"me"}) {
		t.Errorf("al resumed: fetch %v", fetch)
	}
}

func TestPlanFollowsTheCalendar(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me")
	until := testworld.Start.Add(48 * time.Hour)
	w.Agree(w.Text("b01-al-me", []string{"al", "me"},
		"valid-until "+agreement.FormatTime(testworld.Start.AddDate(1, 0, 0)),
		"valid-until "+agreement.FormatTime(until)))
	for _, step := range []struct {
		at            time.Time
		say           int
		fetch, closed []string
		peers         []string
	}{
		{until.Add(-time.Second), 12, []string{"me"}, nil, []string{"me"}},
		{until, 9, []string{"me"}, nil, []string{"me"}},
		{until.Add(30*24*time.Hour - time.Second), 9, []string{"me"}, nil, []string{"me"}},
		{until.Add(30 * 24 * time.Hour), 0, nil, []string{"me"}, nil},
	} {
		w.Now = step.at
		p, next := planOf(t, w, "al")
		c := channelOf(t, p, "b01-al-me")
		fetch, closed := fetchers(c)
		if len(c.Say) != step.say || !slices.Equal(fetch, step.fetch) || !slices.Equal(closed, step.closed) ||
			!slices.Equal(peersOf(p), step.peers) {
			t.Errorf("at %v: %d words, fetch %v, closed %v, peers %v", step.at, len(c.Say), fetch, closed, peersOf(p))
		}
		if step.at.Equal(until.Add(-time.Second)) && !next.Equal(until) {
			t.Errorf("next change is %v, want the end at %v", next, until)
		}
	}
}

func TestPlanLetsALateJoinerReadFromThenOn(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me", "xk")
	first := w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	joined := testworld.Start.Add(time.Hour)
	xk := w.Parties["xk"]
	w.Agree(w.Amend(first, "continues-without 0", "continues-without 2",
		"valid-from "+agreement.FormatTime(first.ValidFrom), "valid-from "+agreement.FormatTime(joined),
		"min-algs", `party xk "`+xk.Card.Name+`" root=`+xk.Root.VKey+
			" next="+agreement.FormatDigest(xk.Card.NextRoot)+"\nmin-algs"))

	p, next := planOf(t, w, "al")
	if fetch, _ := fetchers(channelOf(t, p, "b01-al-me")); !slices.Equal(fetch, []string{"me"}) || !next.Equal(joined) {
		t.Errorf("before the accession: fetch %v, next change %v", fetch, next)
	}
	w.Now = joined
	p, _ = planOf(t, w, "al")
	for _, partner := range channelOf(t, p, "b01-al-me").Partners {
		if !partner.Fetch || partner.Joined != (partner.Code == "xk") {
			t.Errorf("%s: fetch %v, joined %v", partner.Code, partner.Fetch, partner.Joined)
		}
	}
}

func TestPlanEndsTheLinkWithTheCard(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me")
	w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	until := w.Parties["me"].Card.Until
	w.Rotate("me", func(c *card.Card) { c.Until = w.Now.Add(time.Hour) })
	w.Give(w.Parties["me"].Card.Signed, "al")

	p, next := planOf(t, w, "al")
	if !slices.Equal(p.Peers[0].NATSKeys, []string{w.Parties["me"].Card.NATS}) {
		t.Error("the newest card does not rule")
	}
	if !next.Equal(w.Now.Add(time.Hour)) || !next.Before(until) {
		t.Errorf("next change is %v", next)
	}
	w.Now = next
	p, _ = planOf(t, w, "al")
	if fetch, closed := fetchers(channelOf(t, p, "b01-al-me")); len(p.Peers) != 0 || fetch != nil || closed != nil {
		t.Errorf("after the card's end: peers %v, fetch %v, closed %v", peersOf(p), fetch, closed)
	}
}

func TestWriteTLSWritesWhatTheServerReads(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me")
	w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	p, _ := planOf(t, w, "al")
	if err := WriteTLS(p.TLS, w.Parties["al"].Broker.TLS); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "nats.conf")
	if _, err := Prepare(p, conf); err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	b, err := Run(t.Context(), conf, nil, s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	nc, err := b.Connect(subject.RoleKeeper, w.Parties["al"].Broker.Keeper, &w.Parties["al"].Broker.TLS)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}
