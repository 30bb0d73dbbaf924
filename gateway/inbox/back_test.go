package inbox_test

import (
	"testing"

	"karaula/internal/subject"
)

// The broker comes back from an older copy under a running gateway: nothing is
// stored behind the hole and nothing acknowledged, and the inbox says that it
// must be opened again. Opened again, it goes on from what is left.
func TestAStoreThatWentBackIsReadBackAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := d.beats(4)
	for i, raw := range all[:3] {
		d.deliver(uint64(i+1), raw)
	}
	d.until("three are judged", func() bool { return len(d.judged) == 3 })
	if d.inbox.SetBack() {
		t.Fatal("set back without a reason")
	}
	name := subject.InStream(subject.Actual(channel), "al")
	if err := d.broker.JS.DeleteStream(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	d.broker.Stream(name, subject.In(subject.Actual(channel), "al"))
	d.with(func() { d.acked = nil })
	d.deliver(4, all[3])
	d.until("it notices", func() bool { return d.inbox.SetBack() })
	d.close()
	d.with(func() {
		if len(d.acked) > 0 {
			t.Errorf("acknowledged %v behind a hole", d.acked)
		}
	})
	d.restart()
	if next := d.inbox.Next(); next.Seq != 1 || d.inbox.SetBack() {
		t.Errorf("goes on at %d", next.Seq)
	}
	for i, raw := range all {
		d.deliver(uint64(i+1), raw)
	}
	d.until("everything is back", func() bool { return len(d.judged) == 4 })
}
