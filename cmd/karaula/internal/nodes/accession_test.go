package nodes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/link"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

type deskClient = karaulav1connect.NodeServiceClient

// answered waits until everybody who was in when an alert was said has accepted
// it, and nobody else is waited for.
func (y *yard) answered(code string, want map[uint64][]string) {
	y.t.Helper()
	y.until("the receipts for "+code, func() string {
		_, rows := y.list(code, code)
		if len(rows) != len(want) {
			return fmt.Sprintf("%d alerts", len(rows))
		}
		for _, row := range rows {
			var by []string
			for _, d := range row.GetDeliveries() {
				if d.GetState() != karaulav1.DeliveryState_DELIVERY_STATE_ACCEPTED {
					return fmt.Sprintf("number %d: %s %s", row.GetSeq(), d.GetParty(), d.GetState())
				}
				by = append(by, d.GetParty())
			}
			if slices.Sort(by); !slices.Equal(by, want[row.GetSeq()]) {
				return fmt.Sprintf("number %d: %v", row.GetSeq(), by)
			}
		}
		if _, err := y.desk(code).Checkup(y.t.Context(), connect.NewRequest(&karaulav1.CheckupRequest{})); err != nil {
			return err.Error() // it looks at the own streams, too
		}
		s, err := y.desk(code).Status(y.t.Context(), connect.NewRequest(&karaulav1.StatusRequest{}))
		if err != nil {
			return err.Error()
		}
		for _, ch := range s.Msg.GetChannels() {
			for _, p := range ch.GetPartners() {
				if p.GetBacklog() > 0 || p.GetQuarantined() > 0 || p.GetContested() || p.GetHeld() > 0 {
					return fmt.Sprintf("status: %v", p)
				}
			}
		}
		if w := s.Msg.GetWarnings(); len(w) > 0 {
			return fmt.Sprint(w)
		}
		return ""
	})
}

// deliveries gives who must have answered which alert.
func deliveries(to []string, numbers ...[]uint64) map[uint64][]string {
	out := map[uint64][]string{}
	for _, n := range slices.Concat(numbers...) {
		out[n] = to
	}
	return out
}

// A party that comes in by version 2 of an agreement reads from then on, and
// nothing from before; it speaks, answers and is answered; the others see no
// change in what was before. It is so after a restart, with an older copy of what
// it had received, and with nothing of it.
func TestAPartyComesInLater(t *testing.T) {
	t.Parallel()
	y := newYard(t, "al", "me", "xk")
	y.agree([]string{"al", "me"}, "al", "me")
	y.start("al", "me")
	before, beforeMe := y.say("al", 3), y.say("me", 2)
	y.sees("me", "al", before...)
	y.sees("al", "me", beforeMe...)

	y.start("xk")
	y.agree([]string{"al", "me", "xk"}, "al", "xk") // me hears of it over its link
	after, afterMe := y.say("al", 3), []uint64(nil)
	y.sees("xk", "al", after...)
	y.until("me knows the text", func() string {
		if cv, ok := y.register("me").View().Channel(yardChannel); !ok || len(cv.Parties) != 3 {
			return "not yet"
		}
		return ""
	})
	afterMe = y.say("me", 2)
	own := y.say("xk", 2)
	check := func() {
		t.Helper()
		y.sees("xk", "al", after...)
		y.sees("xk", "me", afterMe...)
		y.sees("al", "xk", own...)
		y.sees("me", "xk", own...)
		want := deliveries([]string{"me"}, before)
		maps.Copy(want, deliveries([]string{"me", "xk"}, after))
		y.answered("al", want)
		y.answered("xk", deliveries([]string{"al", "me"}, own))
	}
	check()
	for _, code := range []string{"xk", "al"} {
		y.stop(code)
		y.start(code)
		check()
	}
	y.stop("xk")
	setBack := y.copyReceived("xk")
	y.start("xk")
	after = append(after, y.say("al", 2)...)
	check()
	setBack()
	y.start("xk")
	check()
	y.loseReceived("xk")
	y.start("xk")
	check()
	after = append(after, y.say("al", 1)...)
	check()
	y.trespass("xk", "al", before, after)
}

// trespass asks as a party that came in later for what was said before.
func (y *yard) trespass(code, owner string, before, after []uint64) {
	t := y.t
	y.stop(code)
	keys, err := keyring.LoadGateway(y.made[code].Layout.GatewayKeys(), nil)
	y.must(err)
	nc, err := link.Dial(t.Context(), link.DialOptions{
		Card: y.made[owner].Card, Self: code, Certificate: keys.TLS, Nkey: keys.NATS,
	})
	y.must(err)
	defer nc.Close()
	client := link.New(nc, link.ClientOptions{
		Self: code, Partner: owner, Key: func() keyring.SignKey { return keys.Link }, Skew: time.Minute, Now: time.Now,
		Card: func() (*card.Card, bool) { return y.made[owner].Card, true },
	})
	led := [32]byte(ledger.NewID(yardChannel, owner, karaulav1.Mode_MODE_ACTUAL, y.texts[0].Digest))
	ctx := context.Background()
	for what, ask := range map[string]func() error{
		"stubs":      func() error { _, err := client.GetStubs(ctx, led, 1, 1, after[0]); return err },
		"statements": func() error { _, err := client.GetStatements(ctx, led, 1, before[len(before)-1], after[0]); return err },
		"an edge":    func() error { _, err := client.GetFrontier(ctx, led, 1, before[0]); return err },
	} {
		if err := ask(); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s from before: %v", what, err)
		}
	}
	r, err := client.Rewind(ctx, yardChannel, 1, 1)
	y.must(err)
	from := r.GetFromSeq()
	if from <= before[len(before)-1] || from > after[0] {
		t.Errorf("a rewind to the beginning goes to %d", from)
	}
	stubs, err := client.GetStubs(ctx, led, 1, from, from)
	if err != nil || len(stubs) != 1 {
		t.Errorf("the statement that brings the text: %v", err)
	}
	edge, err := client.GetFrontier(ctx, led, 1, from-1)
	y.must(err)
	if _, err := ledger.FromEdge(from-1, edge); err != nil {
		t.Error(err)
	}
}

// Two parties come in at once, while one of those who were there is away: they
// hear the other at once, and the one who was away as soon as it is back.
func TestTwoPartiesComeInAtOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t, "al", "me", "mk", "xk")
	y.agree([]string{"al", "me"}, "al", "me")
	y.start("al", "me")
	al1, me1 := y.say("al", 5), y.say("me", 1)
	y.sees("me", "al", al1...)
	y.sees("al", "me", me1...)
	y.stop("me")
	y.start("mk", "xk")
	y.agree([]string{"al", "me", "mk", "xk"}, "al", "me", "mk", "xk")
	al2, mk2, xk2 := y.say("al", 2), y.say("mk", 1), y.say("xk", 1)
	for _, code := range []string{"mk", "xk"} {
		y.sees(code, "al", al2...)
		y.sees(code, "me")
	}
	y.sees("mk", "xk", xk2...)
	y.sees("xk", "mk", mk2...)
	y.start("me")
	me2 := y.say("me", 1)
	for _, code := range []string{"mk", "xk"} {
		y.sees(code, "me", me2...)
	}
	y.sees("me", "mk", mk2...)
	y.sees("me", "al", append(slices.Clone(al1), al2...)...)
	y.answered("mk", deliveries([]string{"al", "me", "xk"}, mk2))
	y.trespass("mk", "al", al1, al2)
}

// Who was away at the accession says the new text when it is back, and is read
// from there. Another party comes in by version 3, and then one leaves.
func TestPartiesComeInOneAfterTheOther(t *testing.T) {
	t.Parallel()
	y := newYard(t, "al", "me", "mk", "xk")
	y.agree([]string{"al", "me"}, "al", "me")
	y.start("al", "me")
	al1, me1 := y.say("al", 2), y.say("me", 2)
	y.sees("me", "al", al1...)
	y.sees("al", "me", me1...)

	y.stop("me")
	y.agree([]string{"al", "me", "xk"}, "al", "me", "xk")
	y.start("xk")
	al2 := y.say("al", 2)
	y.sees("xk", "al", al2...)
	y.sees("xk", "me")
	y.start("me")
	me2, xk2 := y.say("me", 2), y.say("xk", 2)
	y.sees("xk", "me", me2...)
	y.sees("me", "al", append(slices.Clone(al1), al2...)...)

	y.agree([]string{"al", "me", "xk", "mk"}, "al", "me", "xk", "mk")
	y.start("mk")
	al3, me3, xk3, mk3 := y.say("al", 2), y.say("me", 1), y.say("xk", 1), y.say("mk", 1)
	y.sees("mk", "al", al3...)
	y.sees("mk", "me", me3...)
	y.sees("mk", "xk", xk3...)
	y.sees("xk", "mk", mk3...)
	y.sees("xk", "al", append(slices.Clone(al2), al3...)...)
	y.answered("xk", map[uint64][]string{
		xk2[0]: {"al", "me"}, xk2[1]: {"al", "me"}, xk3[0]: {"al", "me", "mk"},
	})

	y.loseReceived("mk")
	y.loseReceived("xk")
	y.start("mk", "xk")
	y.sees("mk", "al", al3...)
	y.sees("mk", "me", me3...)
	y.sees("mk", "xk", xk3...)
	y.sees("xk", "al", append(slices.Clone(al2), al3...)...)
	y.sees("xk", "me", append(slices.Clone(me2), me3...)...)
	y.answered("mk", deliveries([]string{"al", "me", "xk"}, mk3))
}
