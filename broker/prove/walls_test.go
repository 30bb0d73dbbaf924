package prove

import (
	"bytes"
	"sync"
	"testing"

	"filippo.io/age"

	"karaula/internal/seal"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// wrongKey makes an alert of al on b01-al-me that is sealed to xk in the place of
// me: as if a wrong key had been handed out. It checks that xk could read it.
func wrongKey(t *testing.T, w *testworld.World) []byte {
	t.Helper()
	text := w.Lint(w.View("al").Agreements()[0].File)
	xk, al := w.Parties["xk"].Gateway, w.Parties["al"].Gateway
	var frame, sealed []byte
	raw := w.Voice("al", text, "b01-al-me").Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_ALERT, Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE,
		Alert: testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE),
		Frame: func(f []byte) []byte { frame = f; return f },
		Sealed: func([]byte) []byte {
			var err error
			sealed, err = seal.Seal(frame, []*age.HybridRecipient{
				al.Archive[0].Identity.Recipient(), xk.Seal[0].Identity.Recipient(),
			})
			if err != nil {
				t.Fatal(err)
			}
			return sealed
		},
	})
	if got, err := seal.Open(sealed, xk.Seal[0].Identity, 1, 2); err != nil || !bytes.Equal(got, frame) {
		t.Fatalf("xk could not read it anyway: %v", err)
	}
	if _, err := seal.Open(sealed, w.Parties["me"].Gateway.Seal[0].Identity, 1, 2); err == nil {
		t.Fatal("me can read it: no wrong key was handed out")
	}
	return raw
}

// reached has al's gateway say something on b01-al-me, has me fetch it, and has
// xk try everything that anybody can name. It gives who got the bytes, and how
// much xk tried.
func reached(t *testing.T, w *testworld.World, s Site, raw []byte) (got map[string]bool, tried int) {
	t.Helper()
	b := &bench{law: newLaw(s.View, w.Now), site: s}
	conf, err := b.read(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if b.trial, err = newTrial(t.Context(), b.law, b.cast, s.Plan, conf); err != nil {
		t.Fatal(err)
	}
	defer b.trial.stop()
	var mu sync.Mutex
	got = map[string]bool{}
	for who, conn := range b.trial.conns {
		conn.note(func() {
			conn.tap = func(body []byte) {
				mu.Lock()
				defer mu.Unlock()
				if bytes.Contains(body, raw) {
					got[who.String()] = true
				}
			}
		})
	}
	gw := b.trial.conns[who{"al", subject.RoleGateway}]
	reply := gw.pub(subject.Say(subject.Actual("b01-al-me"), "al", "vehicle"), string(raw))
	if err := gw.flush(); err != nil {
		t.Fatal(err)
	}
	if err := gw.await(func() bool { return len(gw.got[reply]) > 0 }); err != nil {
		t.Fatal(err)
	}
	xk := who{"xk", partner}
	if _, err := b.trial.ask(xk, b.law.questions(xk)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"xk", "me"} {
		if _, err := b.trial.fetchAll(b.trial.conns[who{p, partner}], who{p, partner}); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return got, b.trial.tried
}

// The first wall alone: the wrong key was handed out, and the broker still does
// not deliver.
func TestTheBrokerDoesNotDeliverWhatWasSealedToTheWrongKey(t *testing.T) {
	t.Parallel()
	w, s := three(t)
	got, tried := reached(t, w, s, wrongKey(t, w))
	if got["partner xk"] || !got["partner me"] || tried < 1000 {
		t.Errorf("after %d tries of xk, these have it: %v", tried, got)
	}
}

// The test above can fail: with a broker that was opened to xk it arrives.
func TestABrokerThatWasOpenedDelivers(t *testing.T) {
	t.Parallel()
	w, s := three(t)
	next := subject.Next(subject.Actual("b01-al-me"), "me")
	g := &garden{&s, t}
	g.after(`"PEER_XK" {`, "imports: [", `{ service: { account: "AL", subject: "`+next+`" } }`)
	g.after(`"PEER_XK" {`, "allow: [", `"`+next+`"`)
	g.edit(`{ service: "`+next+`", accounts: ["PEER_ME"]`, `{ service: "`+next+`", accounts: ["PEER_ME", "PEER_XK"]`, 1)
	if got, _ := reached(t, w, s, wrongKey(t, w)); !got["partner xk"] {
		t.Errorf("only these have it: %v", got)
	}
}
