package inbox_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// misfit makes an alert that says outside what it is not inside.
func (d *desk) misfit() []byte {
	return d.voice.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_ALERT, Type: karaulav1.AlertType_ALERT_TYPE_TRAFFICKING,
		Alert: testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE),
	})
}

// record gives the last verdict record that the broker has.
func (d *desk) record() (data []byte) {
	d.t.Helper()
	err := stream.Open(d.broker.JS, subject.VerdictStream).Read(d.t.Context(), 1, "", func(m stream.Stored) error {
		data = m.Data
		return nil
	})
	if err != nil || len(data) == 0 {
		d.t.Fatalf("there is no verdict record: %v", err)
	}
	return data
}

// put writes into the verdict stream, as whoever runs the broker can.
func (d *desk) put(data []byte) {
	d.t.Helper()
	msg := stream.Msg{Subject: subject.Verdict(channel, "al"), Data: data}
	if _, err := stream.Open(d.broker.JS, subject.VerdictStream).Add(d.t.Context(), msg); err != nil {
		d.t.Fatal(err)
	}
}

// TestNobodyElseMakesVerdicts: whoever runs the broker can write into the verdict
// stream. After a restart a refused alert must not be an accepted one, nor an
// accepted one refused.
func TestNobodyElseMakesVerdicts(t *testing.T) {
	t.Parallel()
	forged := func(change func(*karaulav1.VerdictRecord)) func(*desk, []byte) []byte {
		return func(d *desk, genuine []byte) []byte {
			rec := &karaulav1.VerdictRecord{}
			if err := proto.Unmarshal(genuine, rec); err != nil {
				d.t.Fatal(err)
			}
			j := rec.GetJudgements()[0]
			j.Class, j.Code = karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED, 0
			change(rec)
			data, err := proto.Marshal(rec)
			if err != nil {
				d.t.Fatal(err)
			}
			return data
		}
	}
	for name, forge := range map[string]func(*desk, []byte) []byte{
		"without a code":       forged(func(r *karaulav1.VerdictRecord) { r.Mac = nil }),
		"with an old code":     forged(func(*karaulav1.VerdictRecord) {}),
		"with a code of zeros": forged(func(r *karaulav1.VerdictRecord) { r.Mac = make([]byte, 32) }),
		"with the genuine one behind": func(d *desk, genuine []byte) []byte {
			return append(forged(func(r *karaulav1.VerdictRecord) { r.Mac = nil })(d, genuine), genuine...)
		},
		"cut off": func(_ *desk, genuine []byte) []byte { return genuine[:10] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.deliver(1, d.misfit())
			d.settled(1)
			d.put(forge(d, d.record()))
			d.restart()
			d.settled(1)
			v := d.judged[0].Verdict
			if v.Class != karaulav1.VerdictClass_VERDICT_CLASS_REFUSED ||
				v.Code != karaulav1.Code_CODE_INNER_MISMATCH || !d.judged[0].Replayed {
				t.Errorf("after the restart the verdict is %v %v, replayed %v", v.Class, v.Code, d.judged[0].Replayed)
			}
		})
	}
}

// TestWithoutOurVerdictsItIsJudgedAgain: another gateway's records, or none, are
// no verdicts of ours.
func TestWithoutOurVerdictsItIsJudgedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.deliver(1, d.misfit())
	d.settled(1)
	d.close()
	d.verdictKey = testworld.Random(32)
	d.judged = nil
	d.open()
	d.settled(1)
	if j := d.judged[0]; j.Replayed || j.Verdict.Code != karaulav1.Code_CODE_INNER_MISMATCH {
		t.Errorf("judged %v, replayed %v", j.Verdict.Code, j.Replayed)
	}
}

// TestAContestOutlivesARestart: what follows a contradiction is held until the
// origin opens a new epoch, not until somebody restarts the gateway.
func TestAContestOutlivesARestart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := d.voice.Clone()
	d.deliver(1, d.beats(1)[0])
	d.settled(1)
	d.deliver(2, other.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(s *karaulav1.Statement) { s.SaidAt++ },
	}))
	d.until("the contest", func() bool { return len(d.trouble) == 1 && d.trouble[0].Kind == border.Fork })
	d.deliver(3, d.beats(1)[0])
	d.settled(2)
	d.restart()
	d.deliver(4, d.beats(1)[0])
	d.settled(3)
	for _, j := range d.judged[1:] {
		if j.Verdict.Code != karaulav1.Code_CODE_HISTORY_INCOMPLETE {
			t.Errorf("number %d is judged %v %v", j.Placement.Position.Seq, j.Verdict.Class, j.Verdict.Code)
		}
	}
	if _, _, held, _, contested := d.inbox.Status(); !contested || held != 2 {
		t.Errorf("contested %v, held %d; want true and 2", contested, held)
	}
}

// TestWhatIsAddedAroundIsNotStored: a statement with something unsigned around it
// is stored without that, and is the same after a restart.
func TestWhatIsAddedAroundIsNotStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	good := d.beats(1)[0]
	d.deliver(1, append(append([]byte{0x3a, 0x00}, good...), 0xff))
	d.settled(1)
	err := stream.Open(d.broker.JS, subject.InStream(subject.Actual(channel), "al")).Read(t.Context(), 1, "", func(m stream.Stored) error {
		if string(m.Data) != string(good) {
			t.Errorf("%d bytes are stored, want the %d of the envelope", len(m.Data), len(good))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.restart()
	d.settled(1)
	if class := d.judged[0].Verdict.Class; class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
		t.Errorf("judged %v", class)
	}
}
