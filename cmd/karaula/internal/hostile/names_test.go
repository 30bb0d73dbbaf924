package hostile

import (
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"

	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// marks are a name and a plate that xk puts into everything that it says, and that
// nothing else has.
var marks = []string{"KANAROVIC", "Kanarovic", "kanarovic", "QX 777 XQ", "QX777XQ"}

// named puts the marks into the content of a try, where it stays what it was.
func named(t testworld.Try) testworld.Try {
	draft := t.Draft
	t.Draft = func(v *testworld.Voice) testworld.Draft {
		d := draft(v)
		if a, ok := proto.Clone(d.Alert).(*karaulav1.Alert); ok && d.Alert != nil {
			a.Authority, a.Contact.Point = "Authority of KANAROVIC", "KANAROVIC, duty desk"
			for _, p := range a.GetVehicle().GetPlates() {
				p.Number = "QX 777 XQ"
			}
			d.Alert = a
		}
		return d
	}
	return t
}

// names are tries that have the marks where they are refused for them.
func names() []testworld.Try {
	vehicle := func(change func(d *testworld.Draft)) func(*testworld.Voice) testworld.Draft {
		return func(*testworld.Voice) testworld.Draft {
			d := testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
			change(&d)
			return d
		}
	}
	content := func(change func(a *karaulav1.Alert)) func(*testworld.Voice) testworld.Draft {
		return vehicle(func(d *testworld.Draft) {
			d.Inner = func(in *karaulav1.Inner) { change(in.GetAlert()) }
		})
	}
	outside := func(change func(st *karaulav1.Statement)) func(*testworld.Voice) testworld.Draft {
		return vehicle(func(d *testworld.Draft) { d.Set = change })
	}
	return []testworld.Try{
		{Name: "a plate that is none", Want: "refused invalid-content", Draft: content(func(a *karaulav1.Alert) {
			a.GetVehicle().Plates[0].Number = "QX 777 XQ KANAROVIC \x01"
		})},
		{Name: "a country that is none", Want: "refused invalid-content", Draft: content(func(a *karaulav1.Alert) {
			a.GetVehicle().Plates[0].Country = "KANAROVIC"
		})},
		{Name: "an authority that no text is", Want: "refused invalid-content", Draft: content(func(a *karaulav1.Alert) {
			a.Authority = "KANAROVIC\u202e"
		})},
		{Name: "a name as id", Want: "refused inner-mismatch", Draft: content(func(a *karaulav1.Alert) { a.Id = "KANAROVIC" })},
		{Name: "a name as channel", Aside: true, Want: "refused wrong-channel", Draft: outside(func(st *karaulav1.Statement) {
			st.Channel = "kanarovic"
		})},
		{Name: "a name as origin", Aside: true, Want: "refused wrong-origin", Draft: outside(func(st *karaulav1.Statement) {
			st.Origin = "kanarovic"
		})},
	}
}

// quotesNothing looks for the marks in what al logs, counts, checks and shows of
// its state.
func (c *campaign) quotesNothing() {
	c.t.Helper()
	log, err := os.ReadFile(c.AL.Log)
	c.must(err)
	counts, err := c.Counts(c.AL)
	c.must(err)
	said := map[string]string{"log": string(log), "metrics": fmt.Sprint(counts)}
	for _, args := range [][]string{{"doctor"}, {"status"}, {"ledger", "list"}, {"ledger", "show", "--channel", attacked}, {"party", "list"}} {
		a, err := c.AL.Run(c.t.Context(), "", append(args, "--output", "json")...)
		c.must(err)
		said[strings.Join(args, " ")] = a.Out + a.Err
	}
	for where, text := range said {
		for line := range strings.Lines(text) {
			for _, mark := range marks {
				if strings.Contains(line, mark) {
					c.t.Errorf("%s has %s: %s", where, mark, line)
				}
			}
		}
	}
	c.t.Logf("    %d bytes of log, of every level, and what al shows: none of the names and plates that xk said", len(log))
}
