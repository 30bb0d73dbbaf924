package prove

import (
	"fmt"
	"testing"
	"time"

	"karaula/broker"
	"karaula/deploy/examples"
	"karaula/internal/agreement"
	"karaula/internal/node"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/testworld"
)

// site compiles the broker of a party of a world, with its real keys.
func site(t testing.TB, w *testworld.World, code string, at time.Time) Site {
	t.Helper()
	p := w.Parties[code]
	public, err := p.Gateway.Own.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	p.Broker.GatewayUser = public
	own, err := broker.OwnUsers(p.Broker, p.Card)
	if err != nil {
		t.Fatal(err)
	}
	cfg := node.Default()
	cfg.Party, cfg.Listen = code, "127.0.0.1:4222"
	view := w.View(code)
	plan, _, err := broker.PlanFrom(view, cfg, node.Layout{Dir: "/srv/" + code}, own, at)
	if err != nil {
		t.Fatal(err)
	}
	text, err := broker.Compile(plan)
	if err != nil {
		t.Fatal(err)
	}
	return Site{View: view, Plan: plan, Text: text}
}

// six makes a world of the six parties with the example agreements.
func six(t testing.TB) *testworld.World {
	t.Helper()
	codes := []string{"al", "ba", "me", "mk", "rs", "xk"}
	w := testworld.New(t, codes...)
	var parties []agreement.Party
	for _, code := range codes {
		c := w.Parties[code].Card
		parties = append(parties, agreement.Party{Code: code, Name: c.Name, Root: c.Root, Next: c.NextRoot})
	}
	for _, template := range examples.Agreements() {
		text, err := agreement.Fill(template, parties, w.Now.Add(-time.Hour), w.Now.AddDate(1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		w.Agree(text)
	}
	return w
}

// judge runs the judges and fails if they could not.
func judge(t testing.TB, at time.Time, sites ...Site) *Report {
	t.Helper()
	r, err := Run(t.Context(), sites, at, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// clean fails if something was found, or if there was nothing to find.
func clean(t testing.TB, r *Report) {
	t.Helper()
	for _, m := range r.Mismatches {
		t.Error(show(m))
	}
	if r.Law < 1000 || r.Text != r.Law || r.Live < r.Law || r.Deliveries == 0 {
		t.Errorf("the judges were asked %d, %d and %d times, and there are %d deliveries", r.Law, r.Text, r.Live, r.Deliveries)
	}
}

func show(m Mismatch) string {
	return fmt.Sprintf("%s: %s: %s by %s: agreed %v, text %s, live %s: %s", m.Broker, m.Who, m.What, m.Subject, m.Agreed,
		m.Text, m.Live, m.Why)
}

func TestTheExamplesPermitWhatTheySayAndNothingElse(t *testing.T) {
	t.Parallel()
	w := six(t)
	var sites []Site
	for code := range w.Parties {
		sites = append(sites, site(t, w, code, w.Now))
	}
	began := time.Now()
	r := judge(t, w.Now, sites...)
	t.Logf("%d brokers, %d channels, %d deliveries (%d allowed), asked %d/%d/%d in %s", len(r.Brokers), r.Channels,
		r.Deliveries, r.Allowed, r.Law, r.Text, r.Live, time.Since(began))
	clean(t, r)
	if r.Allowed == 0 || r.Allowed == r.Deliveries || len(r.Brokers) != 6 {
		t.Errorf("%d of %d combinations at %d brokers prove nothing", r.Allowed, r.Deliveries, len(r.Brokers))
	}
}

// Every phase of an agreement, judged as it then stands.
func TestEveryPhaseIsWhatTheAgreementsSay(t *testing.T) {
	t.Parallel()
	allowed := map[string]int{}
	for name, set := range map[string]func(*testworld.World, *agreement.Agreement) time.Time{
		"in force": func(w *testworld.World, _ *agreement.Agreement) time.Time { return w.Now },
		"not yet": func(_ *testworld.World, a *agreement.Agreement) time.Time {
			return a.ValidFrom.Add(-time.Second)
		},
		"winding down": func(_ *testworld.World, a *agreement.Agreement) time.Time { return a.ValidUntil },
		"closed":       func(_ *testworld.World, a *agreement.Agreement) time.Time { return a.ClosesAt() },
		"suspended by al": func(w *testworld.World, a *agreement.Agreement) time.Time {
			w.Give(w.Notice("al", a, notice.Suspend), "al", "me", "xk")
			return w.Now
		},
		"suspended by me": func(w *testworld.World, a *agreement.Agreement) time.Time {
			w.Give(w.Notice("me", a, notice.Suspend), "al", "me", "xk")
			return w.Now
		},
	} {
		w := testworld.New(t, "al", "me", "xk", "audit")
		a := w.Agree(w.Text("t01-al-me-xk", []string{"al", "me", "xk", "audit"}))
		w.Agree(w.Text("b09-me-xk", []string{"me", "xk"}))
		at := set(w, a)
		t.Log(name)
		r := judge(t, at, site(t, w, "al", at), site(t, w, "xk", at))
		clean(t, r)
		allowed[name] = r.Allowed
	}
	t.Log(allowed)
	if allowed["in force"] <= allowed["suspended by al"] || allowed["suspended by al"] <= allowed["closed"] ||
		allowed["in force"] <= allowed["winding down"] || allowed["closed"] != 0 || allowed["not yet"] != 0 {
		t.Errorf("the phases allow %v", allowed)
	}
}

// A node knows its own agreements only, and judges others' brokers by these.
func TestBrokersOfOthersAreJudgedAsTheyWouldBe(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me", "xk")
	w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	own := site(t, w, "al", w.Now)
	other, err := Other(w.View("me"), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := judge(t, w.Now, own, other)
	clean(t, r)
	if len(r.Brokers) != 2 || len(r.Parties) != 3 {
		t.Errorf("brokers %v, parties %v", r.Brokers, r.Parties)
	}
}

func TestOnlyKeysPathsAndTheListenAddressMayDiffer(t *testing.T) {
	t.Parallel()
	const a = `U` + `AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`
	const b = `U` + `BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB`
	text := "listen: \"127.0.0.1:1\"\nnkey: \"" + a + "\"\nnkey: \"" + b + "\"\nallow: [\"x\"]\n"
	for other, same := range map[string]bool{
		text: true,
		"listen: \"127.0.0.1:2\"\nnkey: \"" + b + "\"\nnkey: \"" + a + "\"\nallow: [\"x\"]\n": true,
		"listen: \"127.0.0.1:1\"\nnkey: \"" + a + "\"\nnkey: \"" + a + "\"\nallow: [\"x\"]\n": false,
		"listen: \"127.0.0.1:1\"\nnkey: \"" + a + "\"\nnkey: \"" + b + "\"\nallow: [\">\"]\n": false,
		"listen: \"127.0.0.1:1\"\nnkey: \"" + a + "\"\nnkey: \"" + b + "\"\n":                 false,
	} {
		if err := sameButKeys([]byte(text), []byte(other)); (err == nil) != same || (err != nil && !problem.Is(err, problem.Failed)) {
			t.Errorf("%q: %v", other, err)
		}
	}
}
